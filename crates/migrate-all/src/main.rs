//! Runs every migration in order, resumable.

use std::path::PathBuf;

use stockfoil_core::{
    migration::org,
    rehearsal::Migration,
    sequence::{self, Request},
};

cli::args! {
    /// Run every migration in order: versioned files, migrate-org, validate-migration, migrate-balance, backfill-balances, validate-migration. Stops at the first that does not hold; run it again to go on.
    migration struct Args {
        /// go back to exactly the schema as it was before Stockfoil; the inventory's tables stay
        #[argh(switch)]
        rollback: bool,
        /// make the organizations that an org_id from before names
        #[argh(switch)]
        adopt_organizations: bool,
        /// go on in spite of this: on-conflict, publications, default-organization, answers (repeatable)
        #[argh(option, arg_name = "what")]
        accept: Vec<String>,
        /// folder with more migrations, in sqlx's form (default: what the section migrations of stockfoil.toml names, else none)
        #[argh(option, arg_name = "folder")]
        folder: Option<PathBuf>,
        /// do not ask before a rollback
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let (how, patience) = (args.how()?, args.patience());
        let organizations = org::Request {
            adopts_organizations: args.adopt_organizations,
            accepted: args.accept,
            patience,
            ..org::Request::default()
        };
        organizations.check()?;
        let folder = cx.migrations_folder(args.folder.as_deref());
        let db = cx.connect().await?;
        let migration = Migration::All {
            organizations: organizations.clone(),
            folder: folder.map(Into::into),
            is_back: args.rollback,
        };
        if let cli::How::Rehearse { sample } = how {
            // The way back is a part of every rehearsal.
            return cx.rehearse(&db, migration, sample).await;
        }
        let dry_run = how == cli::How::DryRun;
        let mut request = Request { folder, dry_run, rollback: args.rollback, organizations };
        let mapping = &cx.config().mapping;
        if args.rollback && !args.yes && !dry_run {
            request.dry_run = true;
            let plan = sequence::run(&db, mapping, &cx.config().tenancy, &request, cx.progress()).await?;
            cx.approve(&db, &plan.migrations()).await?;
            request.dry_run = false;
        }
        if let cli::How::Run { rehearses } = how
            && let Some(found) = cx.rehearse_first(&db, migration, rehearses).await?
        {
            return Ok(found);
        }
        let report = sequence::run(&db, mapping, &cx.config().tenancy, &request, cx.progress()).await?;
        cx.warn(report.migrations().into_iter().flat_map(|part| &part.warnings));
        cx.emit(&report)
    })
}
