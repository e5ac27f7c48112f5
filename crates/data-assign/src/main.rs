//! Moves rows to an organization, with everything that belongs to them.

use stockfoil_core::tenancy::{
    data::{self, Assignment, Condition, Selector},
    named::OrgName,
};

cli::args! {
    /// Give rows to an organization with everything that belongs to them by foreign keys, while the application goes on. Safe to run again: a killed run is gone on with. The exit status is 1 when something stops the move, or rows are left.
    struct Args {
        /// the organization to move them to, by its id or its subdomain
        #[argh(option, arg_name = "org")]
        org_id: Option<OrgName>,
        /// the organization to take them from, likewise (default: the default organization)
        #[argh(option, arg_name = "org")]
        from: Option<OrgName>,
        /// locations, such as 'site = "North"' (repeatable, as the next three: all of them move)
        #[argh(option, arg_name = "condition")]
        locations: Vec<Condition>,
        /// items, such as 'item_number = "A-*"'
        #[argh(option, arg_name = "condition")]
        items: Vec<Condition>,
        /// rows of any tenant-scoped table, such as 'count_sheets where status = "draft"'
        #[argh(option, arg_name = "selection")]
        rows: Vec<String>,
        /// rows whose primary keys a file holds, one a line, such as items=ids.txt ('-': standard input)
        #[argh(option, arg_name = "table=file")]
        ids_file: Vec<String>,
        /// let people move with the rows that refer to them, as all other rows do
        #[argh(switch)]
        with_people: bool,
        /// give each side its own copy of items that both use
        #[argh(switch)]
        copy_shared_items: bool,
        /// the same for another table (repeatable)
        #[argh(option, arg_name = "table")]
        copy_shared: Vec<String>,
        /// move nothing unless exactly so many rows would move
        #[argh(option, arg_name = "rows")]
        expect: Option<u64>,
        /// how many rows move in one transaction (default: 1000)
        #[argh(option, arg_name = "rows", default = "data::BATCH_ROWS")]
        batch_rows: u32,
        /// put back what this run moved, as far as it is still where the run put it
        #[argh(option, arg_name = "run")]
        undo: Option<i64>,
        /// only say what would move
        #[argh(switch)]
        dry_run: bool,
        /// do not ask before moving rows
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        cli::one_of(&[("--undo", args.undo.is_some(), ()), ("--org-id", args.org_id.is_some(), ())])?;
        if let Some(run) = args.undo {
            return cx.undo(data::COMMAND, run, args.expect, args.dry_run, args.yes).await;
        }
        let ids = cx.read_named("--ids-file", &args.ids_file).await?;
        let selectors = Selector::of(args.locations, args.items, &args.rows, &ids)?;
        let (to, db) = (args.org_id.ok_or(data::DataError::NoOrganization)?, cx.connect().await?);
        let from = cx.organizations(&db, args.from.as_slice()).await?.pop();
        let giver = Assignment::giver(from, &cx.config().tenancy)?;
        let assignment = Assignment::new(cx.organization(&db, &to).await?, giver, selectors)
            .copying(args.copy_shared_items, args.copy_shared);
        let Args { with_people, expect, dry_run, batch_rows, yes, .. } = args;
        cx.assign(&db, &Assignment { with_people, expect, dry_run, batch_rows, ..assignment }, yes).await
    })
}
