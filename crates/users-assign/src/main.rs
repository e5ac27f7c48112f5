//! Moves users to an organization.

use stockfoil_core::tenancy::{
    TenancyError, data,
    named::OrgName,
    users::{self, Assignment, Origin, Selector},
};

cli::args! {
    /// Move users to an organization: all of the selected ones, in one transaction, or none. The exit status is 1
    /// when --expect or a key that is taken stops the move.
    struct Args {
        /// the organization to move them to, by its id or its subdomain
        #[argh(option, arg_name = "org")]
        org_id: Option<OrgName>,
        /// this user (repeatable)
        #[argh(option, arg_name = "id")]
        user_id: Vec<String>,
        /// users whose address it is: '@acme.com' is that whole domain without its subdomains, '*' stands for
        /// any characters; case does not matter
        #[argh(option, arg_name = "pattern")]
        email_pattern: Option<String>,
        /// everybody whom the organizations that give have
        #[argh(switch)]
        all: bool,
        /// take users from this organization, by its id or its subdomain (repeatable; default: the default organization, and
        /// users of none)
        #[argh(option, arg_name = "org")]
        from: Vec<OrgName>,
        /// move the rows that refer to them too, with everything that belongs to these; recorded, told and put back as data-assign does
        #[argh(switch)]
        with_rows: bool,
        /// put back whom this run moved, as far as they are still where the run put them
        #[argh(option, arg_name = "run")]
        undo: Option<i64>,
        /// only say who would move
        #[argh(switch)]
        dry_run: bool,
        /// move nobody unless exactly so many users (with --with-rows: rows) would move
        #[argh(option, arg_name = "users")]
        expect: Option<u64>,
        /// do not ask before rows move with them
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let Args { org_id, user_id, email_pattern, all, from, dry_run, expect, undo, yes, .. } = args;
        cli::one_of(&[("--undo", undo.is_some(), ()), ("--org-id", org_id.is_some(), ())])?;
        if let Some(run) = undo {
            return cx.undo(users::COMMAND, run, expect, dry_run, true).await;
        }
        let org = org_id.ok_or(TenancyError::NoOrganization)?;
        let selector = Selector::of(user_id, email_pattern.as_deref(), all)?;
        let db = cx.connect().await?;
        let org = cx.organization(&db, &org).await?;
        let from = cx.organizations(&db, &from).await?;
        let origin = Origin::of(from, &cx.config().tenancy);
        let assignment = Assignment { org, selector, origin, expect, dry_run };
        if args.with_rows {
            let chosen = users::with_rows(&db, &cx.config().mapping, &assignment).await?;
            cx.warn(&chosen.warning);
            let giver = data::Giver { org: chosen.from, is_default: chosen.is_default };
            let moved = data::Assignment::of_people(assignment.org, giver, chosen.keys);
            return cx.assign(&db, &data::Assignment { expect, dry_run, ..moved }, yes).await;
        }
        let report = users::assign(&db, &cx.config().mapping, &assignment).await?;
        cx.warn(report.stopped.iter().chain(&report.warnings));
        cx.emit(&report)
    })
}
