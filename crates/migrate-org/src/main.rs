//! Gives every tenant-scoped row its organization, online.

use stockfoil_core::{migration::org, model::Model};

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
        let model = Model::default();
        if args.dry_run {
            return cx.emit(&org::plan(&db, &model, cx.config()).await?);
        }
        if !args.yes && cx.is_interactive() {
            let plan = org::plan(&db, &model, cx.config()).await?;
            if !plan.steps.is_empty() {
                let steps = plan.steps.len();
                cx.confirm(&format!("{steps} steps change the schema of {}; go on?", db.facts())).await?;
            }
        }
        cx.emit(&org::run(&db, &model, cx.config(), cx.progress()).await?)
    })
}
