//! Reads backups to their last byte, restores them, and proves what is restored.

mod rules;

use std::path::PathBuf;

use stockfoil_core::backup::{self, Depth, Moment, Scope};

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
        /// with --restore of one backup: keep what is restored in this folder, new or empty, and tell how to start its server
        #[argh(option, arg_name = "folder")]
        keep: Option<PathBuf>,
        /// write down what the backup must hold: its checksums, and the rows of the database that it was made from
        #[argh(switch)]
        seal: bool,
        /// tell what earlier runs proved: when, of which backup, how deep, in how long; looks at no backup
        #[argh(switch)]
        history: bool,
        /// tell what a restore would need (chain, WAL, room, programs, extensions), and restore nothing
        #[argh(switch)]
        preflight: bool,
        /// with --preflight: a restore to this moment, such as 2026-01-31T02:00:00Z
        #[argh(option, arg_name = "time")]
        to: Option<Moment>,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        args.check()?;
        if args.history {
            let db = cx.connect().await?;
            return cx.emit(&backup::proven(&db, args.source.as_deref()).await?);
        }
        if args.file.is_none() && !args.seal && !args.preflight {
            cx.ping_when_over();
        }
        let depth = if args.restore { Depth::Restore } else { args.depth.unwrap_or(Depth::Full) };
        let config = cx.config().of_backups();
        if args.preflight {
            let (db, only) = (cx.try_connect().await, args.source.as_deref());
            let report = backup::preflight(config, db.as_deref(), only, args.to, cx.progress()).await?;
            let outcome = cx.emit(&report)?;
            report.require()?;
            return Ok(outcome);
        }
        let scope = Scope { source: args.source, file: args.file, keep: args.keep };
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
