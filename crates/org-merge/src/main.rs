//! Makes one organization a part of another, with everything that it has.

use stockfoil_core::tenancy::{
    data::{self, DataError},
    merge::{self, Keys, Merge},
    named::OrgName,
};

cli::args! {
    /// Give everything of one organization to another, people and API keys too, while the application goes on, and deactivate it. Safe to run again: a killed run is gone on with. The exit status is 1 when something stops it, or rows are left.
    struct Args {
        /// the organization that becomes a part of another, and that one, by their ids or subdomains
        #[argh(positional)]
        from_into: Vec<OrgName>,
        /// let the API keys of the first lead to the other, instead of revoking them
        #[argh(switch)]
        move_keys: bool,
        /// move nothing unless exactly so many rows would move
        #[argh(option, arg_name = "rows")]
        expect: Option<u64>,
        /// how many rows move in one transaction (default: 1000)
        #[argh(option, arg_name = "rows", default = "data::BATCH_ROWS")]
        batch_rows: u32,
        /// put back what this run moved, as far as it is still where the run put it, with keys and all
        #[argh(option, arg_name = "run")]
        undo: Option<i64>,
        /// only say what would move, and what stands in the way
        #[argh(switch)]
        dry_run: bool,
        /// do not ask before rows move
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        cli::one_of(&[("--undo", args.undo.is_some(), ()), ("FROM INTO", !args.from_into.is_empty(), ())])?;
        if let Some(run) = args.undo {
            return cx.undo(merge::COMMAND, run, args.expect, args.dry_run, args.yes).await;
        }
        let [from, into] = args.from_into.as_slice() else { return Err(DataError::NoMerge.into()) };
        let db = cx.connect().await?;
        let merge = Merge {
            from: cx.organization(&db, from).await?,
            into: cx.organization(&db, into).await?,
            default_org: cx.config().tenancy.default_org_id.clone(),
            keys: if args.move_keys { Keys::Move } else { Keys::Revoke },
            expect: args.expect,
            batch_rows: args.batch_rows,
            dry_run: args.dry_run,
        };
        cx.merge_organizations(&db, &merge, args.yes).await
    })
}
