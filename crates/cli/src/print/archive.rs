use stockfoil_core::balance::archive::ArchiveReport;

use super::counted;
use crate::{Mark, Page, Print};

impl Print for ArchiveReport {
    fn print(&self, page: &mut Page) {
        let Self { partition, bounds, keys, entries, brought_forward, .. } = self;
        if self.was == "archived" {
            page.marked(
                Mark::Good,
                format!("the entries of {partition} were brought forward before; nothing to do"),
            );
            if let Some(table) = &self.archived_as {
                page.line(format!("the old ones went into table {table}"));
            }
            return;
        }
        let would = if self.dry_run { "would be " } else { "" };
        page.line(format!("partition {partition} {bounds}: {}, {entries} entries", counted(*keys, "key")));
        page.marked(
            Mark::Good,
            format!(
                "{} {would}brought forward{}",
                if *brought_forward == 1 {
                    "1 entry".to_owned()
                } else {
                    format!("{brought_forward} entries")
                },
                self.newest_at.map_or_else(String::new, |at| format!(", of {at}"))
            ),
        );
        let columns: Vec<_> = self.columns.iter().map(|(name, text)| format!("{name} = {text}")).collect();
        if !columns.is_empty() {
            page.line(format!("      each entry has {}", columns.join(", ")));
        }
        if self.dry_run {
            page.line("locks, the strongest first:");
            for lock in &self.locks {
                page.line(format!("      {lock}"));
            }
            page.line("nothing was changed");
        }
        if let Some(table) = &self.archived_as {
            page.line(format!(
                "table {table} has the old entries, and is no part of the ledger; to dump and drop it:"
            ));
        }
        for step in &self.next_steps {
            page.line(format!("      {step}"));
        }
    }
}
