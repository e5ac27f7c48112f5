//! What the binaries share: common flags, logging, progress, printers, exit status, signals.
//!
//! A binary declares its flags with [`args!`], and hands its work to [`main`]:
//!
//! ```no_run
//! cli::args! {
//!     /// Say whether the server answers.
//!     struct Args {}
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     cli::main(async |_args: Args, cx| {
//!         cx.connect().await?;
//!         Ok(cli::Outcome::Clean)
//!     })
//! }
//! ```
//!
//! Data goes to stdout, talk to stderr. The exit status is 0 (all well), 1 (something to look at), 2 (usage or
//! configuration), 3 (could not do the work), 4 (another run holds the lock), or 130 (interrupted).

mod context;
mod flags;
mod page;
mod plugin;
mod print;
mod progress;
mod prometheus;
mod stdin;

use std::{error::Error as _, fmt::Write as _, panic::AssertUnwindSafe, process::ExitCode};

use futures_util::FutureExt as _;

pub use context::Context;
pub use flags::{Command, Common, Format, How, Rehearse, excludes, one_of, requires};
pub use page::{Mark, Page};
pub use print::Print;
pub use stockfoil_core::report::Outcome;

use context::Ended;
use stockfoil_core::{
    Error, Failure,
    migration::{MigrationError, finding::Finding},
    report::PluginState,
};

/// Status for a usage or configuration error.
const USAGE: u8 = 2;
/// Status for an interrupted run, as shells count SIGINT.
const INTERRUPTED: u8 = 130;

/// Why a binary ends without an outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The work itself failed.
    #[error(transparent)]
    Core(#[from] Error),
    /// The flags contradict each other or lack something.
    #[error("{0}")]
    Usage(String),
    /// The result could not be written.
    #[error("the result can't be written to {place}: {source}; check the disk and the path")]
    Write {
        /// Where it was to go.
        place: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Who read standard output went before all of a report with new API keys was written.
    #[error(
        "standard output was closed before all of the report was written, and its new API keys can't be shown again; what it tells of is done: org-list shows the organizations, and org-update --org-id ORG --rotate-key gives one a key that can be read"
    )]
    KeysUnread,
    /// A port can't be listened on.
    #[error("can't listen on {address}: {source}; give --port another number, or 0 for any free one")]
    Listen {
        /// Address and port.
        address: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The program has a fault, of which standard error has told.
    #[error("a fault of this program ended the run; please report what it said above")]
    Fault,
    /// The person at the terminal said no.
    #[error("not confirmed; nothing was changed")]
    Declined,
}

macro_rules! from_core {
    ($($type:path),* $(,)?) => {
        $(impl From<$type> for RunError {
            fn from(error: $type) -> Self {
                Self::Core(error.into())
            }
        })*
    };
}
from_core!(
    stockfoil_core::alert::AlertError,
    stockfoil_core::balance::BalanceError,
    stockfoil_core::settings::ConfigError,
    stockfoil_core::db::DbError,
    stockfoil_core::migration::MigrationError,
    stockfoil_core::model::ModelError,
    stockfoil_core::sql::NameError,
    stockfoil_core::tenancy::TenancyError,
    stockfoil_core::tenancy::data::DataError,
);

impl RunError {
    /// What stood in the way of a migration.
    fn in_the_way(&self) -> &[Finding] {
        match self {
            RunError::Core(Error::Migration(MigrationError::InTheWay(found))) => found,
            _ => &[],
        }
    }

    fn status(&self) -> u8 {
        match self {
            RunError::Usage(_) | RunError::Declined => USAGE,
            RunError::Write { .. } | RunError::KeysUnread | RunError::Listen { .. } | RunError::Fault => 3,
            RunError::Core(error) => match error.failure() {
                Failure::Usage => USAGE,
                Failure::Work => 3,
                Failure::Locked => 4,
            },
        }
    }
}

/// Runs a binary: parses its flags, sets up logging, calls `run`, and turns what comes back into an exit status.
///
/// SIGINT and SIGTERM end the run: its statements are cancelled, open transactions roll back, and the status is 130.
pub fn main<A: Command>(run: impl AsyncFnOnce(A, &Context) -> Result<Outcome, RunError>) -> ExitCode {
    let args: A = match flags::parse() {
        Ok(args) => args,
        Err(exit) => return exit.print(A::NAME),
    };
    let common = args.common();
    let common_format = common.format;
    init_logging(&common);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ExitCode::from(fail(A::NAME, &format!("can't start: {error}"), 3)),
    };
    let status = runtime.block_on(async {
        let cx = match Context::new(A::NAME, common) {
            Ok(cx) => cx,
            Err(error) if common_format == Format::Nagios => {
                let _ = page::write_stdout(&plugin::unknown(A::NAME, &error.to_string()));
                return PluginState::Unknown as u8;
            }
            Err(error) => {
                let error = RunError::from(error);
                if common_format == Format::Json
                    && let Ok(text) = Ended::new(A::NAME, error.status(), &error_text(&error), &[]).json()
                {
                    let _ = page::write_stdout(&text);
                }
                return report_error(A::NAME, &error);
            }
        };
        // Before the work begins: a signal that finds no handler ends the process without its cleaning up.
        let interrupted = interrupts();
        let result = tokio::select! {
            result = AssertUnwindSafe(run(args, &cx)).catch_unwind() => Some(result.unwrap_or(Err(RunError::Fault))),
            () = interrupted => None,
        };
        cx.finish_progress();
        let status = match result {
            result if cx.is_plugin() => end_plugin(A::NAME, &cx, result),
            Some(Ok(Outcome::Clean)) => 0,
            Some(Ok(Outcome::Findings)) => 1,
            Some(Err(error)) => {
                let text = error_text(&error);
                cx.emit_failure(&Ended::new(A::NAME, error.status(), &text, error.in_the_way()));
                report_error(A::NAME, &error)
            }
            None => {
                cx.end_sessions().await;
                let message = cx.interrupted_message();
                cx.emit_failure(&Ended::new(A::NAME, INTERRUPTED, &message, &[]));
                fail(A::NAME, &message, INTERRUPTED)
            }
        };
        // Last, when nothing can fail any more. Whoever has no time for it need not wait.
        tokio::select! { () = async { cx.ping(status == 0).await; cx.disconnect().await } => {}, () = interrupts() => {} }
        status
    });
    // Blocking reads of an interrupted run must not hold the process.
    runtime.shutdown_background();
    ExitCode::from(status)
}

/// The end of a run that monitoring asked for: whatever happened, there is a line and one of its states.
fn end_plugin(name: &str, cx: &Context, result: Option<Result<Outcome, RunError>>) -> u8 {
    let message = match (&result, cx.plugin_state()) {
        (Some(Ok(_)), Some(state)) => return state as u8,
        // The report has said what could not be judged; what is critical stays so.
        (Some(Err(error)), Some(state)) => {
            let _ = report_error(name, error);
            return if state == PluginState::Ok { PluginState::Unknown } else { state } as u8;
        }
        (Some(Err(error)), None) => error_text(error),
        (Some(Ok(_)), None) => "there is no result".to_owned(),
        (None, _) => "interrupted".to_owned(),
    };
    // Where standard output is closed there is nobody to tell.
    let _ = page::write_stdout(&plugin::unknown(name, &message));
    PluginState::Unknown as u8
}

/// Handles SIGINT, SIGTERM and SIGHUP from this call on; the future ends with the first of them.
fn interrupts() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let of = |kind| signal(kind);
    let signals = (of(SignalKind::interrupt()), of(SignalKind::terminate()), of(SignalKind::hangup()));
    async move {
        match signals {
            (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) => {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hangup.recv() => {} }
            }
            // Without handlers the default action of the signals ends the process all the same.
            _ => std::future::pending().await,
        }
    }
}

fn init_logging(common: &Common) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => "error",
        (_, true) => "info",
        _ => "warn",
    };
    // A second initialisation can only come from a test harness; the first one then stands.
    // What the server thinks of a statement's style is for who writes it.
    let filter = format!("{level},sqlx::postgres::notice=error");
    let _ = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(filter))
        .format_target(false)
        .try_init();
    // At trace, libraries write what they send, secret URLs included.
    log::set_max_level(log::max_level().min(log::LevelFilter::Debug));
}

/// Says what went wrong; returns the exit status.
fn report_error(name: &str, error: &RunError) -> u8 {
    fail(name, &error_text(error), error.status())
}

/// What an error says, with its causes.
fn error_text(error: &RunError) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            // Writing to a String can't fail.
            let _ = write!(message, ": {text}");
        }
        cause = error.source();
    }
    message
}

fn fail(name: &str, message: &str, status: u8) -> u8 {
    progress::say(&format!("{name}: error: {message}"));
    status
}
