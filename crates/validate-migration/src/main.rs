//! Checks every claim of the migrations against the database.

use std::path::PathBuf;

use stockfoil_core::validate::{self, Scope};

cli::args! {
    /// Check every claim of the migrations against the database, and show the evidence. Changes nothing; status 1 when a claim does not hold.
    scheduled struct Args {
        /// folder with more migrations (default: ./migrations, where it is there)
        #[argh(option, arg_name = "folder")]
        folder: Option<PathBuf>,
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
        let folder = cx.migrations_folder(args.folder.as_deref());
        let report =
            validate::run(&db, &cx.config().mapping, cx.config(), folder, Scope::All, cx.progress()).await?;
        cx.emit(&report)
    })
}
