//! Runs every migration in order, resumable.

use std::path::PathBuf;

use stockfoil_core::{
    migration::org::{self, Direction},
    sequence::Request,
};

cli::args! {
    /// Run every migration in order: versioned files, migrate-org, validate-migration, migrate-balance, backfill-balances, validate-migration. Stops at the first that does not hold; run it again to go on.
    migration struct Args {
        /// let the unique keys go that reach across organizations, once no statement names them in ON CONFLICT
        #[argh(switch)]
        contract: bool,
        /// go back to exactly the schema as it was before Stockfoil; the inventory's tables stay
        #[argh(switch)]
        rollback: bool,
        /// make the organizations that an org_id from before names
        #[argh(switch)]
        adopt_organizations: bool,
        /// go on in spite of this: on-conflict, parameters, publications, default-organization, answers (repeatable)
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
        if args.contract {
            cli::excludes("--contract", &[("--rollback", args.rollback)])?;
        }
        let organizations = org::Request {
            direction: if args.contract { Direction::Contract } else { Direction::Expand },
            adopts_organizations: args.adopt_organizations,
            accepted: args.accept,
            patience,
            ..org::Request::default()
        };
        let folder = cx.migrations_folder(args.folder.as_deref());
        let request = Request { folder, dry_run: false, rollback: args.rollback, organizations };
        cx.migrate_all(request, how, args.rollback && !args.yes).await
    })
}
