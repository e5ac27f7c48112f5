//! Runs every migration in order, resumable.

use std::path::PathBuf;

use stockfoil_core::migration::all;

cli::args! {
    /// Run every migration in order: versioned files, migrate-org, validate-migration, migrate-balance, backfill-balances, validate-migration. Stops at the first that does not hold; run it again to go on.
    struct Args {
        /// show what would be done; change nothing
        #[argh(switch)]
        dry_run: bool,
        /// folder with more migrations (default: ./migrations, where it is there)
        #[argh(option, arg_name = "folder")]
        folder: Option<PathBuf>,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let db = cx.connect().await?;
        let folder = cx.migrations_folder(args.folder.as_deref());
        let report =
            all::run(&db, &cx.config().mapping, cx.config(), folder, args.dry_run, cx.progress()).await?;
        cx.emit(&report)
    })
}
