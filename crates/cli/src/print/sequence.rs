use stockfoil_core::{
    migration::report::MigrationReport,
    sequence::Sequence,
    validate::{Validation, Verdict},
};

use crate::{Mark, Page, Print};

impl Print for Sequence {
    fn print(&self, page: &mut Page) {
        if self.rollback {
            migration(page, "migrate-balance", self.balances.as_ref(), self.dry_run);
            migration(page, "migrate-org", self.organizations.as_ref(), self.dry_run);
            page.heading("db-migrate");
            self.versions.print(page);
            return;
        }
        page.heading("db-migrate");
        self.versions.print(page);
        migration(page, "migrate-org", self.organizations.as_ref(), self.dry_run);
        validation(page, self.organizations_checked.as_ref());
        migration(page, "migrate-balance", self.balances.as_ref(), self.dry_run);
        if let Some(backfill) = &self.backfill {
            page.heading("backfill-balances");
            backfill.print(page);
        }
        validation(page, self.checked.as_ref());
    }
}

fn migration(page: &mut Page, name: &str, report: Option<&MigrationReport>, dry_run: bool) {
    page.heading(name);
    match report {
        Some(report) => report.print(page),
        None if dry_run => page.line("comes when the parts before it are done"),
        None => page.line("not done: a part before it does not hold; mend it and run migrate-all again"),
    }
}

/// Only what failed, and the totals: validate-migration shows the rest.
fn validation(page: &mut Page, report: Option<&Validation>) {
    let Some(report) = report else { return };
    page.heading("validate-migration");
    for check in report.checks.iter().filter(|check| check.verdict == Verdict::Failed) {
        page.marked(Mark::Bad, format!("{} {}: {}", check.name, check.object, check.evidence));
        page.line(format!("      mend it with: {}", check.remedy));
    }
    page.line(format!(
        "{} checks passed, {} failed; {} rows counted",
        report.passed, report.failed, report.rows
    ));
}
