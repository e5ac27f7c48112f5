//! Checks every claim of the migrations against the database.

use std::path::PathBuf;

use stockfoil_core::validate::{self, Required, Scope};

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
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let db = cx.connect().await?;
        if args.isolation {
            return cx.emit(&validate::isolation::run(&db, &cx.config().mapping).await?);
        }
        let scope = Scope::requiring(&args.require);
        let folder = cx.migrations_folder(args.folder.as_deref());
        let report =
            validate::run(&db, &cx.config().mapping, &cx.config().tenancy, folder, scope, cx.progress())
                .await?;
        cx.emit(&report)
    })
}
