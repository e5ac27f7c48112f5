//! What compares nothing: one key explained, the balances at a time, and a closed partition archived.

use cli::{Context, RunError};
use stockfoil_core::{
    balance::{archive, as_of, explain},
    report::Outcome,
};

use crate::Args;

/// Does what `args` ask for beside a comparison; none where they ask for one.
///
/// # Errors
/// [`RunError::Usage`] when flags exclude each other; else as the operations.
pub(crate) async fn only(args: &Args, cx: &Context) -> Result<Option<Outcome>, RunError> {
    if let Some(partition) = &args.archive {
        return archived(args, cx, partition).await.map(Some);
    }
    let comparing = [
        ("--dry-run", args.dry_run),
        ("--full", args.full),
        ("--fix-large", args.fix_large),
        ("--fix-by-entry", args.fix_by_entry.is_some()),
        ("--close", args.close.is_some()),
        ("--accept-backdated", args.accept_backdated),
        ("--prune-orphans", args.prune_orphans),
        ("--format prometheus", args.format == cli::Format::Prometheus),
    ];
    let (is_timed, has_orgs) = (args.as_of.is_some(), !args.org.is_empty());
    if let Some(key) = &args.explain {
        let others = [&[("--as-of", is_timed), ("--org", has_orgs)], &comparing[..]].concat();
        cli::excludes("--explain", &others)?;
        cli::requires("--key", args.key.is_some(), "--as-of")?;
        let entries = args.entries.unwrap_or(explain::ENTRIES);
        let tolerance = args.tolerance.clone().unwrap_or_else(|| cx.config().reconcile.tolerance.clone());
        let options = explain::Options { key: key.clone(), entries, tolerance };
        options.check()?;
        let report = explain::run(&*cx.connect().await?, &cx.config().mapping, &options).await?;
        return cx.emit(&report).map(Some);
    }
    cli::requires("--entries", args.entries.is_some(), "--explain")?;
    let Some(at) = args.as_of else { return Ok(None) };
    cli::excludes("--as-of", &[&comparing[..], &[("--tolerance", args.tolerance.is_some())]].concat())?;
    if args.key.is_some() {
        cli::excludes("--key", &[("--org", has_orgs)])?;
    }
    let db = cx.connect().await?;
    let orgs = cx.organizations(&db, &args.org).await?;
    let options = as_of::Options { at, orgs, key: args.key.clone() };
    cx.emit(&as_of::run(&db, &cx.config().mapping, &options).await?).map(Some)
}

/// Archives a partition.
async fn archived(args: &Args, cx: &Context, partition: &str) -> Result<Outcome, RunError> {
    let others = [
        ("--org", !args.org.is_empty()),
        ("--full", args.full),
        ("--tolerance", args.tolerance.is_some()),
        ("--fix-large", args.fix_large),
        ("--fix-by-entry", args.fix_by_entry.is_some()),
        ("--close", args.close.is_some()),
        ("--accept-backdated", args.accept_backdated),
        ("--prune-orphans", args.prune_orphans),
        ("--explain", args.explain.is_some()),
        ("--entries", args.entries.is_some()),
        ("--as-of", args.as_of.is_some()),
        ("--key", args.key.is_some()),
        ("--format prometheus", args.format == cli::Format::Prometheus),
    ];
    cli::excludes("--archive", &others)?;
    let options = archive::Options { partition: partition.to_owned(), dry_run: args.dry_run };
    let report = archive::run(&*cx.connect().await?, &cx.config().mapping, &options, cx.progress()).await?;
    cx.emit(&report)
}
