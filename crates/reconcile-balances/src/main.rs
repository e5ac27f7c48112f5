//! Compares stored balances with the ledger that they are derived from.

mod look;

use stockfoil_core::{
    balance::{
        as_of::AsOf,
        reconcile::{self, Options},
    },
    config::Config,
    ledger::{BalanceKey, Quantity},
    tenancy::named::OrgName,
};

cli::args! {
    /// Compare balances with the ledger, correct small differences, report large ones. Status 1 when a person must look.
    scheduled struct Args {
        /// only this organization, by its id or its subdomain (repeatable)
        #[argh(option, arg_name = "org")]
        org: Vec<OrgName>,
        /// compare and report; change, record and alert nothing
        #[argh(switch)]
        dry_run: bool,
        /// a difference below this is small (default: [reconcile] tolerance, 0.01)
        #[argh(option, arg_name = "quantity")]
        tolerance: Option<Quantity>,
        /// correct large differences, missing balances and orphans too, after a person has looked
        #[argh(switch)]
        fix_large: bool,
        /// remove balances of zero whose key has no ledger entry
        #[argh(switch)]
        prune_orphans: bool,
        /// read every entry, not only those that are new since the last run
        #[argh(switch)]
        full: bool,
        /// how many balances are corrected in one transaction (default: 1000)
        #[argh(option, arg_name = "n", default = "stockfoil_core::balance::BATCH_ROWS")]
        batch_rows: u32,
        /// show one key's entries with the running balance, and what changed since both sides agreed; changes nothing
        #[argh(option, arg_name = "org/item/location/lot")]
        explain: Option<BalanceKey>,
        /// with --explain: how many of the newest entries (default: 20)
        #[argh(option, arg_name = "n")]
        entries: Option<u32>,
        /// print the balances as they were at this time, by the ledger as it is now (2026-03-31T18:00+02:00, or a day, as it ended in UTC); changes nothing
        #[argh(option, arg_name = "time")]
        as_of: Option<AsOf>,
        /// with --as-of: only this key
        #[argh(option, arg_name = "org/item/location/lot")]
        key: Option<BalanceKey>,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        if let Some(outcome) = look::only(&args, cx).await? {
            return Ok(outcome);
        }
        let Args { org: names, dry_run, fix_large, prune_orphans, full, batch_rows, .. } = args;
        let Config { alerts, history, reconcile, mapping, .. } = cx.config();
        let tolerance = args.tolerance.unwrap_or_else(|| reconcile.tolerance.clone());
        if !dry_run {
            cx.ping_when_over();
        }
        let asked = Options::of(reconcile);
        let mut options = Options { dry_run, tolerance, fix_large, prune_orphans, full, batch_rows, ..asked };
        options.check()?;
        let db = cx.connect().await?;
        options.orgs = cx.organizations(&db, &names).await?;
        let report = reconcile::run(&db, mapping, alerts, history, &options, cx.progress()).await?;
        let outcome = cx.emit(&report)?;
        Ok(report.alerts.require().map(|()| outcome)?)
    })
}
