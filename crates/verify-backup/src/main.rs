//! Reads backups to their last byte and compares their tables with the inventory's.

use std::path::PathBuf;

use stockfoil_core::backup::{self, Scope};

cli::args! {
    /// Read the newest backup of each source to its last byte, and compare its tables with the inventory's. Sources are BACKUP_DIR or [[backup.source]] in stockfoil.toml. Needs no database; where one is configured and answers, the run is recorded there.
    scheduled struct Args {
        /// only the source of this name
        #[argh(option, arg_name = "name")]
        source: Option<String>,
        /// this dump, a file or a directory, instead of the sources' newest
        #[argh(option, arg_name = "path")]
        file: Option<PathBuf>,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        if args.source.is_some() && args.file.is_some() {
            return Err(cli::RunError::Usage("--source and --file exclude each other; give one".into()));
        }
        if args.file.is_none() {
            cx.ping_when_over();
        }
        let scope = Scope { source: args.source, file: args.file };
        let db = cx.try_connect().await;
        let report =
            backup::verify(cx.config(), db.as_deref(), &cx.config().mapping, &scope, cx.progress()).await?;
        let outcome = cx.emit(&report)?;
        report.require()?;
        Ok(outcome)
    })
}
