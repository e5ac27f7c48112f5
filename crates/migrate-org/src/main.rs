//! Gives every tenant-scoped row its organization, online.

use stockfoil_core::migration::org;

cli::args! {
    /// Add organizations, an org_id on every tenant-scoped table, foreign keys, and unique keys per organization, online. Safe to run again: what the catalog shows to be done is left alone.
    struct Args {
        /// show the steps, their SQL and their locks; change nothing
        #[argh(switch)]
        dry_run: bool,
        /// do not ask before changing the schema
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let db = cx.connect().await?;
        let mapping = &cx.config().mapping;
        if args.dry_run {
            return cx.emit(&org::plan(&db, mapping, cx.config()).await?);
        }
        if !args.yes && cx.is_interactive() {
            let plan = org::plan(&db, mapping, cx.config()).await?;
            if !plan.steps.is_empty() {
                let steps = plan.steps.len();
                cx.confirm(&format!("{steps} steps change the schema of {}; go on?", db.facts())).await?;
            }
        }
        cx.emit(&org::run(&db, mapping, cx.config(), cx.progress()).await?)
    })
}
