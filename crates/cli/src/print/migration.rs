use stockfoil_core::migration::{
    report::{MigrationReport, TableReport},
    step::{StepReport, Work},
};

use super::counted;
use crate::{Mark, Page, Print};

/// So many keys are named at a time.
const KEYS_MAX: usize = 10;

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
        if !steps.is_empty() {
            page.line(summary(self));
            for table in &self.tables {
                page.marked(Mark::Plain, table_line(table));
            }
        }
        if page.is_full() {
            for step in steps {
                print_step(page, step, self.dry_run);
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
        if self.dry_run && !steps.is_empty() && !page.is_full() {
            page.line("--verbose or --output FILE shows each step with its SQL");
        }
        if !self.contract_pending.is_empty() {
            page.marked(Mark::Warning, contract_pending(self));
        }
        if self.dry_run {
            for warning in &self.warnings {
                page.line(format!("note: {warning}"));
            }
        }
    }
}

/// What the steps of a table come to, in one line.
fn table_line(table: &TableReport) -> String {
    let mut words = vec![counted(table.steps, "step"), format!("lock: {}", table.strongest_lock)];
    if table.rows_filled > 0 {
        words.push(format!("about {} rows filled", table.rows_filled));
    }
    if table.indexes > 0 {
        words.push(format!("{} built", counted(table.indexes, "index")));
    }
    if !table.keys_ended.is_empty() {
        words.push(format!("without the key {}", named(&table.keys_ended)));
    }
    if !table.lookups_changed.is_empty() {
        words.push(format!("lookups change by {}", named(&table.lookups_changed)));
    }
    words.push(duration(table.duration_ms));
    let name = if table.table.is_empty() { "functions, sequences and rights" } else { &table.table };
    format!("{name}: {}", words.join(", "))
}

/// As many names as a line bears.
fn named(names: &[String]) -> String {
    let first = names.iter().take(KEYS_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(KEYS_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn duration(ms: i64) -> String {
    if ms < 1000 { "under a second".to_owned() } else { format!("{} s", ms / 1000) }
}

fn print_step(page: &mut Page, step: &StepReport, is_pending: bool) {
    let mark = if is_pending { Mark::Plain } else { Mark::Good };
    page.marked(mark, format!("{} ({})", step.title, cost(step)));
    if is_pending {
        for line in step.sql.iter().flat_map(|sql| sql.lines()).filter(|line| !line.starts_with("--")) {
            page.line(format!("          {line}"));
        }
    }
}

/// Which keys stay for the application's sake, and what ends them.
fn contract_pending(report: &MigrationReport) -> String {
    let keys = named(&report.contract_pending);
    format!(
        "contract is pending: {keys} still reach across organizations; migrate-org --contract lets them go once no statement names them in ON CONFLICT"
    )
}

/// What all of the steps come to, in a line before the tables.
pub(crate) fn summary(report: &MigrationReport) -> String {
    let (steps, tables) = (&report.steps, &report.tables);
    let count = |work: Work| steps.iter().filter(|step| step.work == work).count();
    let filled = tables.iter().map(|table| table.rows_filled).fold(0, i64::saturating_add);
    let (keys, lookups) = tables.iter().fold((0, 0), |(keys, lookups), table| {
        (keys + table.keys_ended.len(), lookups + table.lookups_changed.len())
    });
    let on = tables.iter().filter(|table| !table.table.is_empty()).count();
    let time = duration(tables.iter().map(|table| table.duration_ms).fold(0, i64::saturating_add));
    let time = if report.dry_run { format!("{time} by estimate, beside what they wait") } else { time };
    format!(
        "{} on {}: strongest lock {}, about {filled} rows filled, {} built, {} of a whole table, {} gone, {} changed; {time}",
        counted(steps.len(), "step"),
        counted(on, "table"),
        report.strongest_lock(),
        counted(count(Work::Index), "index"),
        counted(count(Work::Read), "read"),
        counted(keys, "unique key"),
        counted(lookups, "lookup"),
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
