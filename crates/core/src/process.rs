//! Child processes: each in a process group of its own, which dies with whoever waits for it.

use rustix::process::{Pid, Signal, kill_process_group};

/// The process group of a child that was started with `process_group(0)`; killed when nobody waits any more.
#[derive(Debug)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// The group that `child` leads.
    pub(crate) fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)))
    }

    /// Kills every process of the group.
    pub(crate) fn kill(&self) {
        if let Some(pid) = self.0 {
            // It may be gone already.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
