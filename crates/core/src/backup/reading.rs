//! Reading a backup to its last byte: what every kind of source has at hand for it, and what it comes to.

use std::sync::Arc;

use super::{
    Finding,
    drill::{Folder, Owner},
    meter::{Lost, Meter, run_blocking},
    source::dump::Contents,
};
use crate::{
    config::Config,
    mapping::Mapping,
    progress::{Progress, Silent},
};

/// What is at hand for reading backups.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) config: &'a Config,
    pub(super) mapping: &'a Mapping,
    pub(super) progress: &'a dyn Progress,
}

/// What was read out of a backup.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The tables of a dump.
    pub(super) contents: Contents,
    /// Whether every byte was compared with a checksum that was made with the backup.
    pub(super) is_checksummed: bool,
    pub(super) findings: Vec<Finding>,
    pub(super) notes: Vec<String>,
}

impl Reading {
    /// A reading that came to nothing else.
    pub(super) fn of(finding: Finding) -> Self {
        Self { findings: vec![finding], ..Self::default() }
    }
}

impl Reader<'_> {
    /// Runs a quick look in a blocking thread for as long as it gets on.
    pub(super) async fn looking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Meter>) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        run_blocking(&Silent, self.config.backup.stall_timeout, work).await
    }

    /// A private folder for what must be laid down to be read.
    pub(super) fn scratch(&self) -> Result<Folder, Finding> {
        Folder::create(&self.config.drill_folder(), &Owner::Caller, self.config.backup.drill_reserve)
    }

    /// Runs `work` in a blocking thread for as long as it gets on.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Meter>) -> T + Send + 'static,
    ) -> Result<T, Finding> {
        run_blocking(self.progress, self.config.backup.stall_timeout, work)
            .await
            .map_err(|lost| Finding::unknown("read", format!("reading it {lost}")))
    }
}
