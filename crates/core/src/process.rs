//! Child processes: each in a process group of its own, which dies with whoever waits for it.

use std::{io, process::ExitStatus};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Child,
};

/// The process group of a child that was started with `process_group(0)`; killed when nobody waits any more.
#[derive(Debug)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// The group that `child` leads.
    pub(crate) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)))
    }

    /// Waits for `child`, which leads the group, and then ends the others: whoever of them still holds a pipe would keep
    /// us waiting.
    pub(crate) async fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let status = child.wait().await;
        self.kill();
        status
    }

    /// Kills every process of the group.
    fn kill(&self) {
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

/// What a program writes to `stderr`, of which so many bytes are kept. What can't be read of its words is no reason to
/// doubt its work.
pub(crate) async fn words(mut stderr: impl AsyncRead + Unpin, bytes_max: u64) -> String {
    let mut words = Vec::new();
    let _ = (&mut stderr).take(bytes_max).read_to_end(&mut words).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&words).into_owned()
}
