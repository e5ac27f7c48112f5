use stockfoil_core::{
    report::{Outcome, Report as _},
    tenancy::life::{
        Kind, TableCount,
        delete::{OrgDeleted, State},
        export::OrgExported,
        import::{Conflict, OrgImported},
    },
};

use super::Print;
use crate::{Mark, Page};

impl Print for OrgExported {
    fn print(&self, page: &mut Page) {
        let Self { org_id, file, rows, bytes, snapshot_at, .. } = self;
        page.marked(Mark::Good, format!("{rows} rows of organization {org_id} are in {}", file.display()));
        page.line(format!("      snapshot   {snapshot_at}"));
        page.line(format!("      length     {bytes} bytes"));
        counts(page, &self.tables);
    }
}

impl Print for OrgDeleted {
    fn print(&self, page: &mut Page) {
        let Self { org_id, rows, .. } = self;
        let until = self.deletable_at.as_deref().unwrap_or("-");
        let told = match self.state {
            State::Deactivated => {
                format!("organization {org_id} is deactivated, and may be deleted from {until} on")
            }
            State::Waiting => {
                format!("organization {org_id} is inactive, and may be deleted from {until} on")
            }
            State::Deleted => format!("organization {org_id} is deleted, with {rows} rows"),
            State::WouldDeactivate => {
                format!("organization {org_id} would be deactivated, and could be deleted from {until} on")
            }
            State::WouldDelete => format!("organization {org_id} would be deleted, with {rows} rows"),
        };
        page.marked(if self.outcome() == Outcome::Clean { Mark::Good } else { Mark::Bad }, told);
        if let Some(run) = self.run_id {
            let resumed = if self.resumed { ", which had been killed and was gone on with" } else { "" };
            page.line(format!("      run {}{resumed}", run.0));
        }
        if let (Some(at), Some(role)) = (&self.deleted_at, &self.role) {
            page.line(format!("      at {at} by {role}"));
        }
        for reason in &self.in_the_way {
            page.line(format!("      in the way: {reason}"));
        }
        counts(page, &self.tables);
    }
}

impl Print for OrgImported {
    fn print(&self, page: &mut Page) {
        let Self { org_id, rows, from_database, snapshot_at, .. } = self;
        let told = match (self.applied, self.conflicts.is_empty()) {
            (true, _) => format!("organization {org_id} is here, with {rows} rows"),
            (false, true) => format!("organization {org_id} would come, with {rows} rows"),
            (false, false) => format!("organization {org_id} can't come; nothing was changed"),
        };
        page.marked(if self.outcome() == Outcome::Clean { Mark::Good } else { Mark::Bad }, told);
        page.line(format!("      from       {from_database}, as it was at {snapshot_at}"));
        if let Some(run) = self.run_id {
            page.line(format!("      run        {}", run.0));
        }
        page.table(
            ["TABLE", "IN THE WAY", "ROWS", "SUCH AS"],
            self.conflicts.iter().map(|Conflict { table, what, rows, example }| {
                let rows = rows.map(|rows| rows.to_string()).unwrap_or_default();
                [table.clone(), what.clone(), rows, example.clone().unwrap_or_default()]
            }),
        );
        if self.conflicts.is_empty() {
            counts(page, &self.tables);
        }
    }
}

fn counts(page: &mut Page, tables: &[TableCount]) {
    page.table(
        ["TABLE", "ROWS", "OF", "DIGEST"],
        tables.iter().filter(|count| count.rows > 0).map(|count| {
            let kind = match count.kind {
                Kind::Organization => "the organization",
                Kind::ApiKeys => "its API keys",
                Kind::Tenant => "its own",
                Kind::Balances => "its balances",
                Kind::Shared => "nobody's, shared",
                Kind::Record => "Stockfoil's records",
            };
            let digest = count.digest.clone().unwrap_or_else(|| "-".into());
            [count.table.clone(), count.rows.to_string(), kind.into(), digest]
        }),
    );
}
