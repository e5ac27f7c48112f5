//! Creates the balances and the triggers that keep them, online.

use stockfoil_core::migration::{
    balance::{self, Request},
    runner::{LockWait, Patience},
};

cli::args! {
    /// Create inventory_balances and the triggers on the ledger that keep it, online. Safe to run again. Fill it with backfill-balances.
    struct Args {
        /// show the steps, their SQL, their locks and what they cost; change nothing
        #[argh(switch)]
        dry_run: bool,
        /// remove the balances, their triggers and the ledger's key index
        #[argh(switch)]
        rollback: bool,
        /// how long a step may wait for other sessions, such as 30s or 5m (default: without end)
        #[argh(option, arg_name = "time")]
        lock_wait: Option<LockWait>,
        /// do not ask before removing balances
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let patience = Patience { lock_wait: args.lock_wait.map(|wait| wait.0) };
        let request = Request { rollback: args.rollback, patience };
        let db = cx.connect().await?;
        let mapping = &cx.config().mapping;
        if args.dry_run {
            return cx.emit(&balance::plan(&db, mapping, request).await?);
        }
        if args.rollback && !args.yes {
            let plan = balance::plan(&db, mapping, request).await?;
            cx.approve(&db, &[&plan]).await?;
        }
        cx.emit(&balance::run(&db, mapping, request, cx.progress()).await?)
    })
}
