//! Applies pending versioned migrations.

use std::path::PathBuf;

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
        /// record exactly this version as applied, without running it (repeatable)
        #[argh(option, arg_name = "version")]
        baseline: Vec<i64>,
        /// folder with more migrations, in sqlx's form (default: what the section migrations of stockfoil.toml names, else none)
        #[argh(option, arg_name = "folder")]
        folder: Option<PathBuf>,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let folder = cx.migrations_folder(args.folder.as_deref());
        let mode = match (args.status, args.dry_run, &*args.baseline, &args.name) {
            (false, false, [], Some(name)) => {
                let Some(folder) = folder else {
                    return Err(cli::RunError::Usage(
                        "--name writes into a folder of yours; name it by --folder or [migrations] folder"
                            .into(),
                    ));
                };
                let files = versioned::create(folder, name)?;
                cx.write(&files.map(|file| format!("{}\n", file.display())).concat())?;
                return Ok(cli::Outcome::Clean);
            }
            (true, false, [], None) => Mode::Status,
            (false, true, [], None) => Mode::DryRun,
            (false, false, [], None) => Mode::Apply,
            (false, false, versions, None) => Mode::Baseline(versions.to_vec()),
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
