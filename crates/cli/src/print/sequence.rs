use stockfoil_core::migration::all::Sequence;

use crate::{Page, Print};

impl Print for Sequence {
    fn print(&self, page: &mut Page) {
        let parts: [(&str, Option<&dyn PrintPart>); 5] = [
            ("db-migrate", Some(&self.versions)),
            ("migrate-org", part(&self.organizations)),
            ("validate-migration (organizations)", part(&self.organizations_checked)),
            ("migrate-balance", part(&self.balances)),
            ("validate-migration", part(&self.checked)),
        ];
        for (name, report) in parts {
            page.heading(name);
            match report {
                Some(report) => report.print_part(page),
                None if self.dry_run => page.line("comes when the parts before it are done"),
                None => {
                    page.line("not done: a part before it does not hold; mend it and run migrate-all again")
                }
            }
            page.line("");
        }
    }
}

/// [`Print`] without its generic parts, so that reports of several types stand in one list.
trait PrintPart {
    fn print_part(&self, page: &mut Page);
}

impl<R: Print> PrintPart for R {
    fn print_part(&self, page: &mut Page) {
        self.print(page);
    }
}

fn part<R: Print>(report: &Option<R>) -> Option<&dyn PrintPart> {
    report.as_ref().map(|report| report as &dyn PrintPart)
}
