//! Which of a backup's witnesses were heard: its own records, the archive of WAL behind it, and production.

use serde::Serialize;

use super::{BackupKind, BackupSource, Depth, Finding, Status};

/// Whether a witness was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// It was asked and answered.
    Heard,
    /// It was asked, and did not answer.
    NotHeard,
    /// It was not asked.
    NotAsked,
}

/// One witness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hearing {
    /// Whether it was heard.
    pub state: Heard,
    /// Why not, or of one that was heard what it did not tell; none where nothing is left.
    pub why: Option<String>,
}

/// The three witnesses of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Witnesses {
    /// The backup's own records: checksums, manifest, seal, what its tool says.
    pub records: Hearing,
    /// The archive of WAL behind it.
    pub archive: Hearing,
    /// The database that it is of.
    pub production: Hearing,
}

/// What was heard of production about a backup's content and about what a restore would lose, each none where it was not asked;
/// with what it did not tell, else with why it was not heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) content: Option<Result<Option<String>, String>>,
    pub(super) rpo: Option<Result<(), String>>,
}

impl Hearing {
    fn new(state: Heard, why: impl Into<Option<String>>) -> Self {
        Self { state, why: why.into() }
    }

    fn not_asked(why: &str) -> Self {
        Self::new(Heard::NotAsked, why.to_owned())
    }
}

impl Witnesses {
    /// Before anybody was asked.
    pub(super) fn none() -> Self {
        let nobody = || Hearing::not_asked("there is no backup");
        Self { records: nobody(), archive: nobody(), production: nobody() }
    }
}

/// What a look at a backup came to.
pub(super) struct Look<'a> {
    /// The depth to which it got.
    pub(super) depth: Depth,
    pub(super) has_backup: bool,
    pub(super) is_sealed: bool,
    /// Whether the archive behind it was looked at.
    pub(super) has_archive: bool,
    pub(super) findings: &'a [Finding],
    pub(super) asked: &'a Asked,
}

impl Look<'_> {
    /// Which witnesses were heard of a backup of `source`.
    pub(super) fn heard(&self, source: Option<&BackupSource>) -> Witnesses {
        Witnesses { records: self.records(), archive: self.archive(source), production: self.production() }
    }

    fn failed(&self, check: &str) -> Option<&Finding> {
        let is_it = |finding: &&Finding| finding.check == check && finding.status >= Status::Unknown;
        self.findings.iter().find(is_it)
    }

    fn records(&self) -> Hearing {
        let glance = "its marks, size and listing alone: nothing was read to its end";
        let bare = "no checksum was made with it: silent change of a byte can't be excluded";
        if !self.has_backup {
            let failed = self.failed("tool").or(self.failed("listing"));
            let why = failed.map_or_else(|| "there is no backup".to_owned(), |finding| finding.text.clone());
            return Hearing::new(Heard::NotHeard, why);
        }
        let untold =
            if self.depth == Depth::Quick { Some(glance) } else { Some(bare).filter(|_| !self.is_sealed) };
        Hearing::new(Heard::Heard, untold.map(str::to_owned))
    }

    fn archive(&self, source: Option<&BackupSource>) -> Hearing {
        use BackupKind::{Barman, Basebackup, Command, Dump, Pgbackrest, Restic, S3, Walg};
        let Some(source) = source else { return Hearing::not_asked("a file that is named has no archive") };
        if self.has_archive {
            let glance = "which segments it has alone: their pages are read at depth full";
            return Hearing::new(Heard::Heard, (self.depth == Depth::Quick).then(|| glance.to_owned()));
        }
        match source.kind {
            Dump | Restic | S3 | Command => Hearing::not_asked("its kind has none"),
            Basebackup if source.wal_path.is_none() => Hearing::not_asked("the source names none (wal_path)"),
            Basebackup | Pgbackrest | Barman | Walg => match self.failed("wal").or(self.failed("tool")) {
                Some(finding) => Hearing::new(Heard::NotHeard, finding.text.clone()),
                None => Hearing::not_asked("there is no good backup from which on it would be needed"),
            },
        }
    }

    fn production(&self) -> Hearing {
        let glance = match self.depth {
            Depth::Quick => {
                "what a restore would lose alone: what it should hold is asked from depth full on"
            }
            _ => {
                "what a restore would lose alone: of what is no dump, a drill (--restore) asks what it should hold"
            }
        };
        match (&self.asked.content, &self.asked.rpo) {
            (Some(Ok(untold)), _) => Hearing::new(Heard::Heard, untold.clone()),
            (None, Some(Ok(()))) => Hearing::new(Heard::Heard, glance.to_owned()),
            (Some(Err(reason)), _) | (None, Some(Err(reason))) => {
                Hearing::new(Heard::NotHeard, reason.clone())
            }
            (None, None) if self.has_backup => Hearing::not_asked("there is no good backup to ask about"),
            (None, None) => Hearing::not_asked("there is no backup"),
        }
    }
}
