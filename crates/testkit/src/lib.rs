//! A private PostgreSQL cluster, a database per test, and the real binaries to run against it.
//!
//! The cluster belongs to the test process: it starts with the first test that asks for it, and is removed when
//! the process ends, however it ends. A test that fails leaves a dump of its database and says how to load it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "this crate is only ever linked into tests, where a panic is the report"
)]

mod authority;
mod binary;
mod cluster;
mod database;
mod http;
mod mapped;
mod smtp;

pub use authority::Authority;
pub use binary::{Binary, Run, binary_path, full_pipe, signal};
pub use cluster::{Cluster, Pooler, Standby};
pub use database::{LOCK_IS_FREE, TestDb, wait_for};
pub use http::{HttpReceiver, Request};
pub use mapped::Mapped;
pub use rustix::process::Signal;
pub use smtp::{Mail, SmtpReceiver, SmtpServer};

use std::path::{Path, PathBuf};

/// Installs these tools where they are missing, by the project's own script; a test does not go on without.
pub fn require_tools(names: &[&str]) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let prepared = std::process::Command::new(workspace().join("scripts/prepare")).args(names).status();
    assert!(prepared.expect("run scripts/prepare").success(), "{names:?} can't be installed");
}

/// The workspace's top folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}
