//! Compares stored balances with the ledger that they are derived from.

mod asked;
mod look;

use stockfoil_core::{
    balance::{Until, as_of::AsOf},
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
        /// a difference below this is small (default: the configuration's reconcile.tolerance, 0.01)
        #[argh(option, arg_name = "quantity")]
        tolerance: Option<Quantity>,
        /// correct large differences, missing balances and orphans too, after a person has looked
        #[argh(switch)]
        fix_large: bool,
        /// correct the ledger, where a balance is right: enter what large differences, missing balances and orphans lack, for this reason
        #[argh(option, arg_name = "reason")]
        fix_by_entry: Option<String>,
        /// close a month (2026-10), or all before a time, once ledger and balances match; what is entered into it later is told from then on
        #[argh(option, arg_name = "period")]
        close: Option<Until>,
        /// with --close: let stand what was entered into closed periods
        #[argh(switch)]
        accept_backdated: bool,
        /// bring what a closed partition's entries come to forward, and take it out of the ledger
        #[argh(option, arg_name = "partition")]
        archive: Option<String>,
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
        /// with --as-of or --fix-by-entry: only this key
        #[argh(option, arg_name = "org/item/location/lot")]
        key: Option<BalanceKey>,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| match look::only(&args, cx).await? {
        Some(outcome) => Ok(outcome),
        None => asked::compare(&args, cx).await,
    })
}
