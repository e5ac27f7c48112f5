//! What a comparison is asked for.

use cli::{Context, RunError};
use stockfoil_core::{
    balance::reconcile::{self, ByEntry, Close, Options},
    config::Config,
    report::Outcome,
};

use crate::Args;

/// Compares as `args` ask for.
///
/// # Errors
/// As [`options`], and as the operation; and when alerts reached nobody.
pub(crate) async fn compare(args: &Args, cx: &Context) -> Result<Outcome, RunError> {
    let Config { alerts, history, mapping, .. } = cx.config();
    let mut options = options(args, cx)?;
    let db = cx.connect().await?;
    options.orgs = cx.organizations(&db, &args.org).await?;
    let report = reconcile::run(&db, mapping, alerts, history, &options, cx.progress()).await?;
    let outcome = cx.emit(&report)?;
    Ok(report.alerts.require().map(|()| outcome)?)
}

/// What `args` ask for, of all organizations. A run that is more than a look is told to the healthcheck.
///
/// # Errors
/// [`RunError::Usage`] when flags exclude each other; else what can't be asked for.
fn options(args: &Args, cx: &Context) -> Result<Options, RunError> {
    let by_entry = args.fix_by_entry.as_ref();
    if by_entry.is_some() {
        cli::excludes("--fix-by-entry", &[("--fix-large", args.fix_large)])?;
    }
    if args.key.is_some() {
        cli::requires("--key", by_entry.is_none(), "--as-of or --fix-by-entry")?;
        cli::excludes("--key", &[("--org", !args.org.is_empty())])?;
    }
    if args.close.is_some() {
        let others = [("--dry-run", args.dry_run), ("--org", !args.org.is_empty())];
        cli::excludes("--close", &others)?;
    }
    cli::requires("--accept-backdated", args.accept_backdated && args.close.is_none(), "--close")?;
    if !args.dry_run {
        cx.ping_when_over();
    }
    let asked = Options::of(&cx.config().reconcile);
    let options = Options {
        dry_run: args.dry_run,
        tolerance: args.tolerance.clone().unwrap_or(asked.tolerance),
        fix_large: args.fix_large,
        by_entry: by_entry.map(|reason| ByEntry { reason: reason.clone(), key: args.key.clone() }),
        close: args.close.map(|until| Close {
            until,
            accept_backdated: args.accept_backdated,
            is_configured: false,
        }),
        prune_orphans: args.prune_orphans,
        full: args.full,
        batch_rows: args.batch_rows,
        ..asked
    };
    options.check()?;
    Ok(options)
}
