//! What the flags ask for.

use stockfoil_core::tenancy::{
    TenancyError, data,
    users::{
        self, Assignment, Origin, Selector,
        file::{self, PeopleFile, Terms},
    },
};

use crate::Args;

/// Moves the selected users, those of a file, or back whom a run moved.
///
/// # Errors
/// As [`users::assign`] and [`file::assign`], and [`cli::RunError::Usage`] when flags exclude each other.
pub(crate) async fn run(args: Args, cx: &cli::Context) -> Result<cli::Outcome, cli::RunError> {
    let Args { org_id, user_id, email_pattern, all, from, dry_run, expect, undo, .. } = args;
    cli::one_of(&[
        ("--undo", undo.is_some(), ()),
        ("--file", args.file.is_some(), ()),
        ("--org-id", org_id.is_some(), ()),
    ])?;
    if let Some(run) = undo {
        return cx.undo(users::COMMAND, run, expect, dry_run, true).await;
    }
    let mapping = &cx.config().mapping;
    if let Some(path) = args.file {
        let of_one = [
            ("--user-id", !user_id.is_empty()),
            ("--email-pattern", email_pattern.is_some()),
            ("--all", all),
            ("--with-rows", args.with_rows),
        ];
        cli::excludes("--file", &of_one)?;
        let people = PeopleFile::read(&cx.read_file("--file", &path).await?)?;
        let db = cx.connect().await?;
        let origin = Origin::of(cx.organizations(&db, &from).await?, &cx.config().tenancy);
        let report = file::assign(&db, mapping, &people, &Terms { origin, expect, dry_run }).await?;
        cx.warn(report.stopped.iter().chain(&report.warnings));
        return cx.emit(&report);
    }
    let org = org_id.ok_or(TenancyError::NoOrganization)?;
    let selector = Selector::of(user_id, email_pattern.as_deref(), all)?;
    let db = cx.connect().await?;
    let org = cx.organization(&db, &org).await?;
    let origin = Origin::of(cx.organizations(&db, &from).await?, &cx.config().tenancy);
    let assignment = Assignment { org, selector, origin, expect, dry_run };
    if args.with_rows {
        let chosen = users::with_rows(&db, mapping, &assignment).await?;
        cx.warn(&chosen.warning);
        let giver = data::Giver { org: chosen.from, is_default: chosen.is_default };
        let moved = data::Assignment::of_people(assignment.org, giver, chosen.keys);
        return cx.assign(&db, &data::Assignment { expect, dry_run, ..moved }, args.yes).await;
    }
    let report = users::assign(&db, mapping, &assignment).await?;
    cx.warn(report.stopped.iter().chain(&report.warnings));
    cx.emit(&report)
}
