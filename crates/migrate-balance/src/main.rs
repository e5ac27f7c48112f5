//! Creates the balances and the triggers that keep them, online.

use stockfoil_core::migration::balance;

cli::args! {
    /// Create inventory_balances and the triggers on the ledger that keep it, online. Safe to run again. Fill it with backfill-balances.
    struct Args {
        /// show the steps, their SQL and their locks; change nothing
        #[argh(switch)]
        dry_run: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let db = cx.connect().await?;
        let mapping = &cx.config().mapping;
        if args.dry_run {
            return cx.emit(&balance::plan(&db, mapping).await?);
        }
        cx.emit(&balance::run(&db, mapping, cx.progress()).await?)
    })
}
