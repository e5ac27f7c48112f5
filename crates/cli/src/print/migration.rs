use std::collections::BTreeSet;

use stockfoil_core::migration::{
    report::MigrationReport,
    step::{StepReport, Work},
};

use crate::{Mark, Page, Print};

impl Print for MigrationReport {
    fn print(&self, page: &mut Page) {
        let Self { command, done_before, steps, .. } = self;
        for obstacle in &self.obstacles {
            page.marked(Mark::Bad, format!("in the way: {obstacle}"));
        }
        for used in &self.default_uses {
            page.marked(Mark::Plain, used.to_string());
        }
        for used in &self.lookup_uses {
            page.marked(Mark::Plain, used.to_string());
        }
        if self.dry_run && !steps.is_empty() {
            page.line(summary(self));
        }
        for step in steps {
            let mark = if self.dry_run { Mark::Plain } else { Mark::Good };
            page.marked(mark, format!("{} ({})", step.title, cost(step)));
            if self.dry_run {
                for line in step.sql.iter().flat_map(|sql| sql.lines()).filter(|line| !line.starts_with("--"))
                {
                    page.line(format!("          {line}"));
                }
            }
        }
        let (to_do, did) = match self.rollback {
            true => (" to take it back", " to take it back"),
            false => ("", ""),
        };
        match (self.dry_run, steps.len()) {
            (_, 0) => page.line(format!("{command}: nothing to do, {done_before} steps are done already")),
            (true, pending) => {
                page.line(format!(
                    "{command}: {pending} steps to do{to_do}, {done_before} done already; nothing was changed"
                ));
            }
            (false, done) => {
                page.line(format!("{command}: {done} steps done{did}, {done_before} were done already"))
            }
        }
        if self.dry_run {
            for warning in &self.warnings {
                page.line(format!("note: {warning}"));
            }
        }
    }
}

/// What all of the steps come to, before the list of them.
fn summary(report: &MigrationReport) -> String {
    let steps = &report.steps;
    let tables: BTreeSet<&String> = steps.iter().flat_map(|step| &step.tables).collect();
    let count = |work: Work| steps.iter().filter(|step| step.work == work).count();
    let time: i64 = steps.iter().filter_map(|step| step.estimate_ms).sum();
    let time = if time >= 1000 { format!("about {} s", time / 1000) } else { "under a second".to_owned() };
    format!(
        "{} steps on {} tables: strongest lock {}, {} fills, {} index builds, {} reads of a whole table; {time} beside what they wait",
        steps.len(),
        tables.len(),
        report.strongest_lock(),
        count(Work::Fill),
        count(Work::Index),
        count(Work::Read),
    )
}

/// The lock, what the step goes through, and how long: as estimated, or as it was.
fn cost(step: &StepReport) -> String {
    let rows = match (step.work, step.rows_estimate) {
        (Work::Catalog, _) => "changes the catalog only".to_owned(),
        (Work::Read, Some(rows)) => format!("reads about {rows} rows"),
        (Work::Read, None) => "reads the table".to_owned(),
        (Work::Index, Some(rows)) => format!("reads about {rows} rows, writes an index"),
        (Work::Index, None) => "reads the table, writes an index".to_owned(),
        (Work::Fill, Some(rows)) => format!("writes those of about {rows} rows that lack it"),
        (Work::Fill, None) => "writes the rows that lack it".to_owned(),
    };
    let time = match (step.duration_ms, step.waited_ms, step.estimate_ms) {
        (Some(duration), Some(waited), _) if waited > 0 => {
            format!(", {duration} ms, {waited} ms of it waiting")
        }
        (Some(duration), ..) => format!(", {duration} ms"),
        (None, _, Some(estimate)) if estimate >= 1000 => format!(", about {} s", estimate / 1000),
        (None, _, Some(_)) => ", under a second".to_owned(),
        _ => String::new(),
    };
    format!("lock: {}, {rows}{time}", step.lock)
}
