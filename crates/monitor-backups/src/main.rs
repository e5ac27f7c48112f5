//! Checks that every backup source has a young, whole and plausible backup.

use stockfoil_core::backup;

cli::args! {
    /// Check that every backup source has a young, whole and plausible backup; alert where it has not. Sources are BACKUP_DIR or [[backup.source]] in stockfoil.toml. Needs no database; where one is configured and answers, the run is recorded there.
    scheduled struct Args {}
}

fn main() -> std::process::ExitCode {
    cli::main(async |_args: Args, cx| {
        cx.ping_when_over();
        let db = cx.try_connect().await;
        let report = backup::monitor(cx.config(), db.as_deref(), cx.progress()).await?;
        let outcome = cx.emit(&report)?;
        report.require()?;
        Ok(outcome)
    })
}
