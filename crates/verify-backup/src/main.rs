//! Reads backups to their last byte, restores them, and proves what is restored.

use std::path::PathBuf;

use stockfoil_core::backup::{self, Depth, Scope};

cli::args! {
    /// Read the newest backup of each source to its last byte and compare its tables with the inventory's; with --restore, prove it in a throwaway cluster. Sources are BACKUP_DIR or [[backup.source]] in stockfoil.toml. Needs no database; where one is configured and answers, the run is recorded there.
    plugin struct Args {
        /// only the source of this name
        #[argh(option, arg_name = "name")]
        source: Option<String>,
        /// this dump or base backup, a file or a directory, instead of the sources' newest
        #[argh(option, arg_name = "path")]
        file: Option<PathBuf>,
        /// how deep to look: quick, full (default; reads every byte), restore (a drill)
        #[argh(option)]
        depth: Option<Depth>,
        /// restore into a throwaway cluster and prove schema, balances and rows there: --depth restore
        #[argh(switch)]
        restore: bool,
        /// write down what the backup must hold: its checksums, and the rows of the database that it was made from
        #[argh(switch)]
        seal: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let usage = |text: &str| Err(cli::RunError::Usage(text.into()));
        if args.source.is_some() && args.file.is_some() {
            return usage("--source and --file exclude each other; give one");
        }
        if args.seal && (args.restore || args.depth.is_some()) {
            return usage("--seal looks no deeper than it must; leave out --restore and --depth");
        }
        if args.restore && args.depth.is_some_and(|depth| depth != Depth::Restore) {
            return usage("--restore is --depth restore; give one of them");
        }
        if args.file.is_none() && !args.seal {
            cx.ping_when_over();
        }
        let depth = if args.restore { Depth::Restore } else { args.depth.unwrap_or(Depth::Full) };
        let scope = Scope { source: args.source, file: args.file };
        let config = cx.config().of_backups();
        if args.seal {
            let db = cx.connect().await?;
            let report = backup::seal(config, &db, &scope, cx.progress()).await?;
            let outcome = cx.emit(&report)?;
            report.require()?;
            return Ok(outcome);
        }
        let db = cx.try_connect().await;
        let report = backup::verify(config, db.as_deref(), &scope, depth, cx.progress()).await?;
        let outcome = cx.emit(&report)?;
        report.require()?;
        Ok(outcome)
    })
}
