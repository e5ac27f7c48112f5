use stockfoil_core::validate::{Validation, Verdict};

use crate::{Mark, Page, Print};

impl Print for Validation {
    fn print(&self, page: &mut Page) {
        for check in &self.checks {
            let (mark, what_to_do) = match check.verdict {
                Verdict::Passed => (Mark::Good, ""),
                Verdict::Warned => (Mark::Warning, "look at it with"),
                Verdict::Failed => (Mark::Bad, "mend it with"),
                Verdict::Skipped => (Mark::Plain, "make it with"),
            };
            page.marked(
                mark,
                format!("{} {}: {}", check.name.replace('_', " "), check.object, check.evidence),
            );
            if !check.remedy.is_empty() {
                page.line(format!("      {what_to_do}: {}", check.remedy));
            }
            if let Some(accept) = &check.accept {
                page.line(format!("      to live with it: [tenancy.isolation] accepted = [{accept:?}]"));
            }
        }
        let skipped = match self.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} of what is not there yet"),
        };
        page.line(format!(
            "{} checks passed, {} failed{skipped}; {} rows counted",
            self.passed, self.failed, self.rows
        ));
    }
}
