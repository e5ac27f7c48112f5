//! Creates the balances and the triggers that keep them, online.

use stockfoil_core::migration::{balance::Request, online::Online};

cli::args! {
    /// Create inventory_balances and the triggers on the ledger that keep it, online. Safe to run again. Fill it with backfill-balances.
    migration struct Args {
        /// remove the balances, their triggers and the ledger's key index
        #[argh(switch)]
        rollback: bool,
        /// do not ask before removing balances
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let request = Request { rollback: args.rollback, patience: args.patience() };
        let asks = args.rollback && !args.yes;
        cx.migrate(Online::Balances(request), args.how()?, asks).await
    })
}
