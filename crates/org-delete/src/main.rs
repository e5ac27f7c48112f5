//! Deactivates an organization, and deletes everything of it when its time has come.

use std::path::PathBuf;

use stockfoil_core::tenancy::{
    keys::Span,
    life::delete::{self, Deletion},
    named::OrgName,
};

cli::args! {
    /// Deactivate an organization and record when it may be deleted; run again when that time has come, or with --now, delete everything of it in batches, while others write. Safe to run again: a killed run is gone on with. The exit status is 1 when something stands in the way.
    struct Args {
        /// the organization, by its id or its subdomain
        #[argh(option, arg_name = "org")]
        org_id: OrgName,
        /// after how long it may be deleted, such as 30d (the default) or 0s
        #[argh(option, arg_name = "time")]
        after: Option<Span>,
        /// delete it now, whatever time was said
        #[argh(switch)]
        now: bool,
        /// write the certificate, as JSON, to this file too
        #[argh(option, arg_name = "file")]
        certificate: Option<PathBuf>,
        /// how many rows are deleted in one transaction (default: 1000)
        #[argh(option, arg_name = "rows", default = "delete::BATCH_ROWS")]
        batch_rows: u32,
        /// only say what would happen, and what stands in the way
        #[argh(switch)]
        dry_run: bool,
        /// do not ask before rows are deleted
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        cli::one_of(&[("--after", args.after.is_some(), ()), ("--now", args.now, ())])?;
        cx.require_folder("--certificate", args.certificate.as_deref())?;
        let db = cx.connect().await?;
        let deletion = Deletion {
            org: cx.organization(&db, &args.org_id).await?,
            default_org: cx.config().tenancy.default_org_id.clone(),
            after: args.after,
            now: args.now,
            batch_rows: args.batch_rows,
            dry_run: args.dry_run,
        };
        cx.delete_organization(&db, &deletion, args.yes, args.certificate.as_deref()).await
    })
}
