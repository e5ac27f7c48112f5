//! Writes everything of an organization to a file.

use std::path::PathBuf;

use stockfoil_core::tenancy::{life::export, named::OrgName};

cli::args! {
    /// Write everything of an organization to a file, in one snapshot and while others write: its rows in the order of their foreign keys, and those that they refer to in tables without organizations. The file, readable by you alone, appears when it is whole.
    struct Args {
        /// the organization, by its id or its subdomain
        #[argh(option, arg_name = "org")]
        org_id: OrgName,
        /// the file, as lines of JSON
        #[argh(option, arg_name = "file")]
        out: PathBuf,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        cx.require_folder("--out", Some(&args.out))?;
        let db = cx.connect().await?;
        let org = cx.organization(&db, &args.org_id).await?;
        let exported = export::export(&db, &cx.config().mapping, org, &args.out, cx.progress()).await?;
        cx.warn(&exported.warnings);
        cx.emit(&exported)
    })
}
