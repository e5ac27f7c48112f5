//! Compares stored balances with the ledger that they are derived from.

use stockfoil_core::{
    balance::reconcile::{self, Options},
    ledger::Quantity,
    tenancy::OrgId,
};

cli::args! {
    /// Compare balances with the ledger, correct small differences, report large ones. Status 1 when a person must look.
    scheduled struct Args {
        /// only this organization (repeatable)
        #[argh(option, arg_name = "id")]
        org: Vec<OrgId>,
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
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let Args { org: orgs, dry_run, fix_large, prune_orphans, full, .. } = args;
        let history_runs = cx.config().reconcile.history_runs;
        let tolerance = args.tolerance.unwrap_or_else(|| cx.config().reconcile.tolerance.clone());
        let options = Options { orgs, dry_run, tolerance, fix_large, prune_orphans, full, history_runs };
        options.check()?;
        let db = cx.connect().await?;
        let alerts = &cx.config().alerts;
        let report = reconcile::run(&db, &cx.config().mapping, alerts, &options, cx.progress()).await?;
        let outcome = cx.emit(&report)?;
        report.alerts.require()?;
        Ok(outcome)
    })
}
