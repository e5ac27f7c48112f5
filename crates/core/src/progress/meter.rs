//! Work in blocking threads that is watched from outside: how far it came, and whether it should stop.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::Progress;

/// How often progress is passed on and a stall looked for.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// How far a piece of work came, in bytes or entries, and whether it should stop.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    done: AtomicU64,
    is_cancelled: AtomicBool,
}

/// A reader that counts, and that ends with an error once the work is cancelled.
#[derive(Debug)]
pub(crate) struct Metered<R> {
    source: R,
    meter: Arc<Meter>,
}

/// The work showed no sign of life for too long, or broke off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing was done for this long.
    Stalled(Duration),
    /// Its thread ended without a result.
    Broken,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stalled(limit) => {
                write!(
                    f,
                    "showed no sign of life for {} and was given up",
                    humantime::format_duration(*limit)
                )
            }
            Self::Broken => f.write_str("broke off"),
        }
    }
}

impl Meter {
    /// A reader of `source` that this meter counts.
    pub(crate) fn read<R: Read>(self: &Arc<Self>, source: R) -> Metered<R> {
        Metered { source, meter: Arc::clone(self) }
    }

    /// Counts `units` that no reader counts.
    pub(crate) fn add(&self, units: u64) {
        self.done.fetch_add(units, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.meter.is_cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        let read = self.source.read(buffer)?;
        self.meter.add(read as u64);
        Ok(read)
    }
}

/// Stops the metered readers when the one who waits for them goes away.
pub(crate) struct CancelOnDrop(pub(crate) Arc<Meter>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.is_cancelled.store(true, Ordering::Relaxed);
    }
}

/// Waits for `work`, passing on progress; gives up when `meter` stands still for `stall`.
pub(crate) async fn watch<T>(
    meter: &Arc<Meter>,
    progress: &dyn Progress,
    stall: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Lost> {
    let _cancel = CancelOnDrop(Arc::clone(meter));
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    let (mut seen, mut seen_at) = (meter.count(), Instant::now());
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                progress.advance(meter.count() - seen);
                return Ok(done);
            }
            _ = ticks.tick() => {
                let now = meter.count();
                if now > seen {
                    progress.advance(now - seen);
                    (seen, seen_at) = (now, Instant::now());
                } else if seen_at.elapsed() >= stall {
                    return Err(Lost::Stalled(stall));
                }
            }
        }
    }
}

/// Runs `work` in a blocking thread and watches it.
pub(crate) async fn run_blocking<T: Send + 'static>(
    progress: &dyn Progress,
    stall: Duration,
    work: impl FnOnce(&Arc<Meter>) -> T + Send + 'static,
) -> Result<T, Lost> {
    let meter = Arc::new(Meter::default());
    let inner = Arc::clone(&meter);
    let task = tokio::task::spawn_blocking(move || work(&inner));
    watch(&meter, progress, stall, task).await?.map_err(|_| Lost::Broken)
}
