//! Gives every tenant-scoped row its organization, online.

use stockfoil_core::migration::{
    org::{self, Direction, Request},
    runner::{LockWait, Patience},
};

cli::args! {
    /// Add organizations, an org_id on every tenant-scoped table, foreign keys, and unique keys per organization, online. Safe to run again: what the catalog shows to be done is left alone.
    struct Args {
        /// show the steps, their SQL, their locks and what they cost; change nothing
        #[argh(switch)]
        dry_run: bool,
        /// keep the unique keys that reach across organizations, for applications that name them in ON CONFLICT
        #[argh(switch)]
        expand_only: bool,
        /// end the default organization: an insert that names none fails from then on
        #[argh(switch)]
        finalize: bool,
        /// with --finalize: isolate the organizations by row-level security; with --rollback: take only that back
        #[argh(switch)]
        isolate: bool,
        /// go back to exactly the schema as it was
        #[argh(switch)]
        rollback: bool,
        /// make the organizations that an org_id from before names
        #[argh(switch)]
        adopt_organizations: bool,
        /// go on in spite of this: on-conflict, publications (repeatable)
        #[argh(option, arg_name = "what")]
        accept: Vec<String>,
        /// how long a step may wait for other sessions, such as 30s or 5m (default: without end)
        #[argh(option, arg_name = "time")]
        lock_wait: Option<LockWait>,
        /// do not ask before changing the schema
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let direction = cli::one_of(&[
            ("--expand-only", args.expand_only, Direction::Expand),
            ("--finalize", args.finalize, Direction::Finalize),
            ("--rollback", args.rollback, Direction::Rollback),
        ])?;
        let request = Request {
            direction: direction.unwrap_or_default(),
            isolates: args.isolate,
            adopts_organizations: args.adopt_organizations,
            accepted: args.accept,
            patience: Patience { lock_wait: args.lock_wait.map(|wait| wait.0) },
        };
        request.check()?;
        let db = cx.connect().await?;
        let mapping = &cx.config().mapping;
        if args.dry_run {
            return cx.emit(&org::plan(&db, mapping, cx.config(), &request).await?);
        }
        let destroys = matches!(request.direction, Direction::Finalize | Direction::Rollback);
        if !args.yes && (destroys || cx.is_interactive()) {
            let plan = org::plan(&db, mapping, cx.config(), &request).await?;
            cx.approve(&db, &[&plan]).await?;
        }
        let report = org::run(&db, mapping, cx.config(), &request, cx.progress()).await?;
        cx.warn(&report.warnings);
        cx.emit(&report)
    })
}
