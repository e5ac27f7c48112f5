//! Checks that every backup source has a young, whole and plausible backup.

use stockfoil_core::backup::{self, Depth};

cli::args! {
    /// Check that every backup source has a young, whole and plausible backup; alert where it has not. Sources are BACKUP_DIR or [[backup.source]] in stockfoil.toml. Needs no database; where one is configured and answers, the run is recorded there.
    plugin struct Args {
        /// only the source of this name
        #[argh(option, arg_name = "name")]
        source: Option<String>,
        /// how deep to look at the newest backups: quick (default), full (reads every byte), restore (a drill)
        #[argh(option, default = "Depth::Quick")]
        depth: Depth,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        cx.ping_when_over();
        let db = cx.try_connect().await;
        let config = cx.config().of_backups();
        let only = args.source.as_deref();
        let report = backup::monitor(config, db.as_deref(), only, args.depth, cx.progress()).await?;
        let outcome = cx.emit(&report)?;
        report.require()?;
        Ok(outcome)
    })
}
