//! Progress on standard error: a bar on a terminal, a line now and then in a log, nothing when quiet.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use stockfoil_core::progress::Progress;

/// How often a log gets a line.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Writes one line of talk to standard error.
pub(crate) fn say(line: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// The progress of one command.
#[derive(Debug)]
pub(crate) struct Talk {
    quiet: bool,
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    task: String,
    total: Option<u64>,
    done: u64,
    started: Option<Instant>,
    last_line: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Talk {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, terminal: std::io::stderr().is_terminal(), state: Mutex::default() }
    }

    /// Where the work stands, in words; empty before it began.
    pub(crate) fn position(&self) -> String {
        let state = self.state();
        match (state.task.as_str(), state.total) {
            ("", _) => String::new(),
            (task, Some(total)) => format!("{task}, {} of {total} done", state.done),
            (task, None) if state.done == 0 => task.to_owned(),
            (task, None) => format!("{task}, {} done", state.done),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is plain values: a panic elsewhere leaves it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Talk {
    fn begin(&self, task: &str, total: Option<u64>) {
        let mut state = self.state();
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
        let now = Some(Instant::now());
        *state = State { task: task.to_owned(), total, started: now, last_line: now, ..State::default() };
        if self.quiet || !self.terminal {
            return;
        }
        let (bar, template) = match total {
            Some(total) => {
                (ProgressBar::new(total), "{msg} [{bar:30}] {human_pos}/{human_len} {per_sec} {eta} left")
            }
            None => (ProgressBar::new_spinner(), "{spinner} {msg} {human_pos} {elapsed}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(task.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        state.bar = Some(bar);
    }

    fn step(&self, task: &str, total: Option<u64>) {
        self.begin(task, total);
        if !self.quiet && !self.terminal {
            say(task);
        }
    }

    fn advance(&self, units: u64) {
        let mut state = self.state();
        state.done += units;
        if let Some(bar) = &state.bar {
            bar.set_position(state.done);
        } else if !self.quiet && state.last_line.is_some_and(|last| last.elapsed() >= LOG_EVERY) {
            state.last_line = Some(Instant::now());
            let seconds = state.started.map_or(1, |started| started.elapsed().as_secs()).max(1);
            let rate = state.done / seconds;
            drop(state);
            say(&format!("{}, {rate} a second", self.position()));
        }
    }

    fn note(&self, message: &str) {
        if self.quiet {
            return;
        }
        match &self.state().bar {
            Some(bar) => bar.suspend(|| say(message)),
            None => say(message),
        }
    }

    fn finish(&self) {
        let mut state = self.state();
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    }
}
