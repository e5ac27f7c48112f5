//! The human form of each report.

mod alerts;
mod archive;
mod as_of;
mod backup;
mod balances;
mod explain;
mod generate;
mod life;
mod lines;
mod migration;
mod rehearsal;
mod sequence;
mod tenancy;
mod validation;
mod versions;

use std::io::{self, Write};

use stockfoil_core::report::Report;

use crate::Page;

/// A report that a person can read.
pub trait Print: Report {
    /// Writes the report to `page`.
    fn print(&self, page: &mut Page);

    /// Writes the report to `out`; `is_full` where all is wanted that there is to say.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(&self, is_full: bool, out: &mut dyn Write) -> io::Result<()> {
        let mut page = Page::new(is_full);
        self.print(&mut page);
        out.write_all(page.into_text().as_bytes())
    }
}

/// So many of a thing whose name has a regular plural.
fn counted(number: impl std::fmt::Display + PartialEq + From<u8>, noun: &str) -> String {
    let ending = match (number == 1.into(), noun.ends_with('x')) {
        (true, _) => "",
        (false, true) => "es",
        (false, false) => "s",
    };
    format!("{number} {noun}{ending}")
}
