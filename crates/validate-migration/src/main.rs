//! Checks every claim of the migrations against the database.

use std::path::PathBuf;

use stockfoil_core::validate::{self, Required, Scope, isolation::Where};

cli::args! {
    /// Check every claim of the migrations against the database, and show the evidence. Changes nothing; status 1 when a claim does not hold.
    scheduled struct Args {
        /// folder with more migrations, in sqlx's form (default: what the section migrations of stockfoil.toml names, else none)
        #[argh(option, arg_name = "folder")]
        folder: Option<PathBuf>,
        /// let it fail where this is not there yet: balances
        #[argh(option, arg_name = "what")]
        require: Vec<Required>,
        /// look instead for holes in the isolation of organizations, each with what closes it
        #[argh(switch)]
        isolation: bool,
        /// the same, but where organizations are not isolated say so and end with 0
        #[argh(switch)]
        if_isolated: bool,
        /// look instead for what stands in the way of taking the migrations back as the database is now
        #[argh(switch)]
        rollback_ready: bool,
        /// try instead whether entries like those that are there are counted, made as each role that writes the ledger and rolled
        /// back; the rows of a few balances are locked meanwhile, for some milliseconds each
        #[argh(switch)]
        prove: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let others = [
            ("--isolation", args.isolation),
            ("--if-isolated", args.if_isolated),
            ("--rollback-ready", args.rollback_ready),
        ];
        if args.prove {
            cli::excludes("--prove", &others)?;
        }
        let db = cx.connect().await?;
        if args.prove {
            return cx.emit(&validate::proof::run(&db, &cx.config().mapping, cx.progress()).await?);
        }
        if args.isolation || args.if_isolated {
            let of = if args.if_isolated { Where::Isolated } else { Where::Everywhere };
            return cx.emit(&validate::isolation::run(&db, &cx.config().mapping, of).await?);
        }
        if args.rollback_ready {
            let config = cx.config();
            return cx.emit(&validate::way_back::run(&db, &config.mapping, &config.tenancy).await?);
        }
        let scope = Scope::requiring(&args.require);
        let folder = cx.migrations_folder(args.folder.as_deref());
        let report =
            validate::run(&db, &cx.config().mapping, &cx.config().tenancy, folder, scope, cx.progress())
                .await?;
        cx.emit(&report)
    })
}
