//! Runs every migration in order, resumable.

use std::path::PathBuf;

use stockfoil_core::migration::{
    all::{self, Request},
    org,
    runner::{LockWait, Patience},
};

cli::args! {
    /// Run every migration in order: versioned files, migrate-org, validate-migration, migrate-balance, backfill-balances, validate-migration. Stops at the first that does not hold; run it again to go on.
    struct Args {
        /// show what would be done; change nothing
        #[argh(switch)]
        dry_run: bool,
        /// go back to exactly the schema as it was before Stockfoil; the inventory's tables stay
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
        /// folder with more migrations (default: ./migrations, where it is there)
        #[argh(option, arg_name = "folder")]
        folder: Option<PathBuf>,
        /// do not ask before a rollback
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let organizations = org::Request {
            adopts_organizations: args.adopt_organizations,
            accepted: args.accept,
            patience: Patience { lock_wait: args.lock_wait.map(|wait| wait.0) },
            ..org::Request::default()
        };
        organizations.check()?;
        let folder = cx.migrations_folder(args.folder.as_deref());
        let mut request = Request { folder, dry_run: args.dry_run, rollback: args.rollback, organizations };
        let db = cx.connect().await?;
        let mapping = &cx.config().mapping;
        if args.rollback && !args.yes && !args.dry_run {
            request.dry_run = true;
            let plan = all::run(&db, mapping, cx.config(), &request, cx.progress()).await?;
            cx.approve(
                &db,
                &[&plan.balances, &plan.organizations]
                    .map(Option::as_ref)
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>(),
            )
            .await?;
            request.dry_run = false;
        }
        let report = all::run(&db, mapping, cx.config(), &request, cx.progress()).await?;
        cx.warn(report.organizations.iter().flat_map(|report| &report.warnings));
        cx.emit(&report)
    })
}
