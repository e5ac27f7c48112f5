use stockfoil_core::migration::runner::MigrationReport;

use crate::{Mark, Page, Print};

impl Print for MigrationReport {
    fn print(&self, page: &mut Page) {
        let Self { command, done_before, steps, .. } = self;
        for step in steps {
            let scan = match (step.scans, step.rows_estimate) {
                (true, Some(rows)) => format!(", reads about {rows} rows"),
                (true, None) => ", reads the table".into(),
                (false, _) => String::new(),
            };
            let took = step.duration_ms.map_or_else(String::new, |duration| format!(", {duration} ms"));
            let mark = if self.dry_run { Mark::Plain } else { Mark::Good };
            page.marked(mark, format!("{} (lock: {}{scan}{took})", step.title, step.lock));
            if self.dry_run {
                for line in step.sql.iter().flat_map(|sql| sql.lines()).filter(|line| !line.starts_with("--"))
                {
                    page.line(format!("          {line}"));
                }
            }
        }
        match (self.dry_run, steps.len()) {
            (_, 0) => page.line(format!("{command}: nothing to do, {done_before} steps are done already")),
            (true, pending) => {
                page.line(format!(
                    "{command}: {pending} steps to do, {done_before} done already; nothing was changed"
                ));
            }
            (false, done) => {
                page.line(format!("{command}: {done} steps done, {done_before} were done already"))
            }
        }
    }
}
