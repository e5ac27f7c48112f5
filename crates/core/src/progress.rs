//! How a long operation says where it stands, without knowing about terminals.

pub(crate) mod meter;

/// Receives an operation's progress.
///
/// Implementations must be cheap: they are called from inside loops, never while a lock is wanted.
pub trait Progress: Send + Sync {
    /// A task begins; `total` counts its units (steps, rows, keys) where that is known.
    fn begin(&self, task: &str, total: Option<u64>);
    /// A task begins that changes something lasting, which a log should hold.
    fn step(&self, task: &str, total: Option<u64>) {
        self.begin(task, total);
    }
    /// `units` more are done.
    fn advance(&self, units: u64);
    /// Something that a person who watches should know now (a lock that is waited for, say).
    fn note(&self, message: &str);
    /// The current task is over.
    fn finish(&self);
}

/// Progress that nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _task: &str, _total: Option<u64>) {}
    fn advance(&self, _units: u64) {}
    fn note(&self, _message: &str) {}
    fn finish(&self) {}
}

/// The progress of what is only played through: its steps change nothing that lasts.
pub(crate) struct Played<'a>(pub(crate) &'a dyn Progress);

impl Progress for Played<'_> {
    fn begin(&self, task: &str, total: Option<u64>) {
        self.0.begin(task, total);
    }

    fn advance(&self, units: u64) {
        self.0.advance(units);
    }

    fn note(&self, message: &str) {
        self.0.note(message);
    }

    fn finish(&self) {
        self.0.finish();
    }
}
