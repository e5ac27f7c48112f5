//! Applies pending versioned migrations.

use std::path::{Path, PathBuf};

use stockfoil_core::migration::versioned::{self, Mode};

cli::args! {
    /// Apply pending versioned migrations. A database that already has the application's tables keeps them: the file that would create them is recorded as applied.
    struct Args {
        /// say how each version stands; status 1 when one is pending or changed
        #[argh(switch)]
        status: bool,
        /// write a new pair of files with this name instead of applying any
        #[argh(option, arg_name = "name")]
        name: Option<String>,
        /// say what would be applied; change nothing
        #[argh(switch)]
        dry_run: bool,
        /// record every version up to this one as applied, without running it
        #[argh(option, arg_name = "version")]
        baseline: Option<i64>,
        /// folder with more migrations (default: ./migrations, where it is there)
        #[argh(option, arg_name = "folder")]
        folder: Option<PathBuf>,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let folder = cx.migrations_folder(args.folder.as_deref());
        let mode = match (args.status, args.dry_run, args.baseline, &args.name) {
            (false, false, None, Some(name)) => {
                let files = versioned::create(folder.unwrap_or(Path::new(cli::MIGRATIONS)), name)?;
                cx.write(&files.map(|file| format!("{}\n", file.display())).concat())?;
                return Ok(cli::Outcome::Clean);
            }
            (true, false, None, None) => Mode::Status,
            (false, true, None, None) => Mode::DryRun,
            (false, false, Some(version), None) => Mode::Baseline(version),
            (false, false, None, None) => Mode::Apply,
            _ => {
                return Err(cli::RunError::Usage(
                    "--status, --dry-run, --baseline and --name exclude each other; give one of them".into(),
                ));
            }
        };
        let db = cx.connect().await?;
        let report = versioned::run(&db, &cx.config().mapping, folder, mode, cx.progress()).await?;
        cx.emit(&report)
    })
}
