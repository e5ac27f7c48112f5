//! Brings an organization in from a file that org-export wrote.

use std::path::PathBuf;

use stockfoil_core::tenancy::{
    TenancyError,
    life::import::{self, Import, Mask},
};

cli::args! {
    /// Bring an organization in from a file that org-export wrote: all of it, with its keys and values as they were, or nothing. What does not fit is listed before the first change; the exit status is then 1.
    struct Args {
        /// the file
        #[argh(positional)]
        file: PathBuf,
        /// the id that it gets here, instead of its own; its API keys are then left out
        #[argh(option, long = "as", arg_name = "id")]
        rename: Option<String>,
        /// the database that it gets into, of the same server (default: the one that is configured)
        #[argh(option, arg_name = "database")]
        into: Option<String>,
        /// add shared rows that are not here
        #[argh(switch)]
        add_shared: bool,
        /// put something else into a column, such as users.email=email: null, text or email (repeatable)
        #[argh(option, arg_name = "table.column=rule")]
        mask: Vec<Mask>,
        /// let triggers change this column, such as stock_move.write_date (repeatable)
        #[argh(option, arg_name = "table.column")]
        accept_changed: Vec<String>,
        /// only say what would happen, and what does not fit
        #[argh(switch)]
        dry_run: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let mapping = &cx.config().mapping;
        let rename = args.rename.map(|id| stockfoil_core::org_id::OrgId::of(mapping.org_type(), &id));
        let import = Import {
            file: args.file,
            rename: rename.transpose().map_err(TenancyError::from)?,
            adds_shared: args.add_shared,
            masks: args.mask,
            accepted: args.accept_changed.into_iter().collect(),
            dry_run: args.dry_run,
        };
        let db = cx.connect_to(args.into.as_deref()).await?;
        let imported = import::import(&db, mapping, &import, cx.progress()).await?;
        cx.warn(&imported.warnings);
        cx.emit(&imported)
    })
}
