use stockfoil_core::validate::{Validation, Verdict};

use crate::{Mark, Page, Print};

impl Print for Validation {
    fn print(&self, page: &mut Page) {
        for check in &self.checks {
            let mark = if check.verdict == Verdict::Passed { Mark::Good } else { Mark::Bad };
            page.marked(
                mark,
                format!("{} {}: {}", check.name.replace('_', " "), check.object, check.evidence),
            );
            if !check.remedy.is_empty() {
                page.line(format!("      mend it with: {}", check.remedy));
            }
        }
        page.line(format!(
            "{} checks passed, {} failed; {} rows counted",
            self.passed, self.failed, self.rows
        ));
    }
}
