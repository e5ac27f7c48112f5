//! Makes every stored balance the sum of its ledger entries, while writers go on.

use stockfoil_core::{
    balance::{
        BATCH_ROWS,
        backfill::{self, Options},
    },
    tenancy::named::OrgName,
};

cli::args! {
    /// Make every balance the sum of its ledger entries, while writers go on, and verify it. Safe to kill and to run again.
    struct Args {
        /// only this organization, by its id or its subdomain (repeatable)
        #[argh(option, arg_name = "org")]
        org: Vec<OrgName>,
        /// compare, say what would be written, and change nothing
        #[argh(switch)]
        dry_run: bool,
        /// how many balances are written in one transaction (default: 1000)
        #[argh(option, arg_name = "n", default = "BATCH_ROWS")]
        batch_rows: u32,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |Args { org: orgs, dry_run, batch_rows, .. }: Args, cx| {
        let mut options = Options { orgs: Vec::new(), dry_run, batch_rows };
        options.check()?;
        let db = cx.connect().await?;
        options.orgs = cx.organizations(&db, &orgs).await?;
        cx.emit(&backfill::run(&db, &cx.config().mapping, &options, cx.progress()).await?)
    })
}
