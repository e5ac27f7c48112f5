//! `[backup]`: where backups are and what is expected of them.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer};

use super::{ConfigError, Secret, duration, value};

/// The age beyond which a backup is stale when nothing else is said: a day and an hour of grace.
const MAX_AGE: Duration = Duration::from_secs(25 * 3600);

/// `[backup]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// The sources, each `[[backup.source]]`; without any, the one that `BACKUP_DIR` gives.
    pub source: Vec<BackupSource>,
    /// The `pg_restore` to run: a name that is looked for in PATH, or a path.
    pub pg_restore: PathBuf,
    /// The folder of the server's programs (`postgres`, `initdb`, `pg_verifybackup`); none: looked for in PATH and
    /// where distributions put them.
    pub pg_bin: Option<PathBuf>,
    /// A program or a folder that shows no sign of life for this long is given up.
    #[serde(deserialize_with = "duration")]
    pub stall_timeout: Duration,
    /// A program that can't be watched at work (a tool's restore, a server's recovery) is given up after this long.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// Where drills make their private folders; none: TMPDIR, or /var/tmp.
    pub drill_folder: Option<PathBuf>,
    /// So many bytes of the disk a drill leaves free.
    #[serde(deserialize_with = "size")]
    pub drill_reserve: u64,
    /// Whom the throwaway cluster runs as where the drill runs as root, which PostgreSQL refuses.
    pub drill_user: String,
    /// Libraries that the throwaway cluster may preload where the restored configuration does.
    pub drill_preload_libraries: Vec<String>,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            source: Vec::new(),
            pg_restore: "pg_restore".into(),
            pg_bin: None,
            stall_timeout: Duration::from_secs(300),
            timeout: Duration::from_secs(12 * 3600),
            drill_folder: None,
            drill_reserve: 256 << 20,
            drill_user: "postgres".into(),
            drill_preload_libraries: Vec::new(),
        }
    }
}

/// What kind of backup a source holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// What pg_dump writes: custom, directory, tar and plain format, compressed or not.
    Dump,
    /// What pg_basebackup writes: a data folder, or tar files.
    Basebackup,
    /// A stanza of pgBackRest.
    Pgbackrest,
    /// A server of Barman.
    Barman,
    /// What WAL-G stores.
    Walg,
    /// Snapshots of a restic repository that hold dumps or base backups.
    Restic,
    /// Whatever a program tells of, in documented JSON.
    Command,
}

impl BackupKind {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dump => "dump",
            Self::Basebackup => "basebackup",
            Self::Pgbackrest => "pgbackrest",
            Self::Barman => "barman",
            Self::Walg => "walg",
            Self::Restic => "restic",
            Self::Command => "command",
        }
    }
}

/// `[[backup.source]]`: one series of backups, and what is expected of it. Which keys a kind takes, `check` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSource {
    /// What reports, alerts and metrics call it.
    pub name: String,
    /// What kind of backup it holds.
    pub kind: BackupKind,
    /// `dump`, `basebackup`: the folder.
    #[serde(default)]
    pub path: PathBuf,
    /// `dump`, `basebackup`: which entries of the folder are its backups (`*.dump`, `*/db.tar`); none: all that look
    /// like one.
    #[serde(default)]
    pub pattern: Option<String>,
    /// `basebackup`: the folder that the server archives its WAL to.
    #[serde(default)]
    pub wal_path: Option<PathBuf>,
    /// `pgbackrest`: the stanza.
    #[serde(default)]
    pub stanza: Option<String>,
    /// `barman`: the server.
    #[serde(default)]
    pub server: Option<String>,
    /// `restic`: the repository; none: what the environment of restic says.
    #[serde(default)]
    pub repository: Option<String>,
    /// `restic`: only snapshots with this tag.
    #[serde(default)]
    pub tag: Option<String>,
    /// `pgbackrest`, `barman`, `walg`: the tool's configuration file.
    #[serde(default)]
    pub config_file: Option<PathBuf>,
    /// `pgbackrest`, `barman`, `walg`, `restic`: the tool, a name that is looked for in PATH, or a path.
    #[serde(default)]
    pub program: Option<PathBuf>,
    /// `command`: the program that lists the backups, with its arguments.
    #[serde(default)]
    pub list: Vec<String>,
    /// `command`: the program that reads the backup `{backup}` to its last byte.
    #[serde(default)]
    pub verify: Vec<String>,
    /// `command`: the program that restores the backup `{backup}` into the folder `{folder}`.
    #[serde(default)]
    pub restore: Vec<String>,
    /// Variables for the source's program, beside those of this process.
    #[serde(default)]
    pub environment: BTreeMap<String, Secret>,
    /// The database that a drill looks at in a restored cluster; none: every one that holds the inventory.
    #[serde(default)]
    pub database: Option<String>,
    /// `pgbackrest`, `barman`, `walg`: where the seals of its backups lie; those of files lie beside them.
    #[serde(default)]
    pub seal_folder: Option<PathBuf>,
    /// The newest good backup may be this old, counted from its start.
    #[serde(default = "max_age", deserialize_with = "duration")]
    pub max_age: Duration,
    /// Beyond this age a warning is given; none: `max_age` less a fiftieth, 24h30m for 25h.
    #[serde(default, deserialize_with = "duration_some")]
    pub warn_age: Option<Duration>,
    /// So many good backups should be there.
    #[serde(default = "min_count")]
    pub min_count: usize,
    /// A backup of fewer bytes is no good one.
    #[serde(default, deserialize_with = "size")]
    pub min_size: u64,
    /// The newest may be smaller than the median of the good ones before it by this many percent.
    #[serde(default = "max_drop_pct")]
    pub max_drop_pct: u64,
    /// A backup may seem to be from the future by this much, for clocks that differ.
    #[serde(default = "future_tolerance", deserialize_with = "duration")]
    pub future_tolerance: Duration,
    /// `basebackup`, `pgbackrest`, `barman`, `command`: the last archived WAL may be this old; none: it is not asked.
    #[serde(default, deserialize_with = "duration_some")]
    pub max_wal_age: Option<Duration>,
    /// A drill finds too much lost when the newest restored entry of the ledger is older; none: it is not asked.
    #[serde(default, deserialize_with = "duration_some")]
    pub max_rpo: Option<Duration>,
}

impl BackupSource {
    /// A source of dumps in `path` with every threshold at its default.
    pub fn dumps(name: &str, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            kind: BackupKind::Dump,
            path: path.into(),
            pattern: None,
            wal_path: None,
            stanza: None,
            server: None,
            repository: None,
            tag: None,
            config_file: None,
            program: None,
            list: Vec::new(),
            verify: Vec::new(),
            restore: Vec::new(),
            environment: BTreeMap::new(),
            database: None,
            seal_folder: None,
            max_age: max_age(),
            warn_age: None,
            min_count: min_count(),
            min_size: 0,
            max_drop_pct: max_drop_pct(),
            future_tolerance: future_tolerance(),
            max_wal_age: None,
            max_rpo: None,
        }
    }

    /// The age beyond which a warning is given.
    pub fn warn_age(&self) -> Duration {
        self.warn_age.unwrap_or(self.max_age - self.max_age / 50)
    }

    /// Where its backups are, for a person.
    pub fn place(&self) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        match self.kind {
            BackupKind::Dump | BackupKind::Basebackup => self.path.display().to_string(),
            BackupKind::Pgbackrest => format!("stanza {} of pgBackRest", text(&self.stanza)),
            BackupKind::Barman => format!("server {} of Barman", text(&self.server)),
            BackupKind::Walg => "the storage of WAL-G".to_owned(),
            BackupKind::Restic => "the repository of restic".to_owned(),
            BackupKind::Command => {
                format!("what {} tells of", self.list.first().map_or("the program", String::as_str))
            }
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = &self.name;
        let wrong = |key: &str, reason: &str| Err(value(&format!("backup.source {name:?}, {key}"), reason));
        self.check_keys()?;
        if let Some(Err(error)) = self.pattern.as_deref().map(glob::Pattern::new) {
            return wrong("pattern", &format!("not a pattern ({}); write it like *.dump", error.msg));
        }
        if self.pattern.as_ref().is_some_and(|pattern| pattern.is_empty() || pattern.starts_with('/')) {
            return wrong("pattern", "must be relative to path; write it like *.dump");
        }
        if self.max_age.is_zero() {
            return wrong(
                "max_age",
                "is zero, so that every backup would be stale; give a duration such as 25h",
            );
        }
        if self.warn_age() > self.max_age {
            return wrong("warn_age", "is longer than max_age, so that no warning would ever be given");
        }
        if self.future_tolerance >= self.max_age {
            return wrong("future_tolerance", "is not shorter than max_age; give a duration such as 5m");
        }
        if !(1..=100).contains(&self.max_drop_pct) {
            return wrong("max_drop_pct", "is not a percentage of 1 to 100");
        }
        Ok(())
    }

    /// Checks that the kind has the keys that it needs and no others.
    fn check_keys(&self) -> Result<(), ConfigError> {
        use BackupKind::{Barman, Basebackup, Command, Dump, Pgbackrest, Restic, Walg};
        type Key = (&'static str, bool, &'static [BackupKind], &'static [BackupKind]);
        let is_text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        // Key, whether it is set, which kinds need it, which others take it.
        let keys: [Key; 14] = [
            ("path", !self.path.as_os_str().is_empty(), &[Dump, Basebackup], &[]),
            ("pattern", self.pattern.is_some(), &[], &[Dump, Basebackup]),
            ("wal_path", self.wal_path.is_some(), &[], &[Basebackup]),
            ("stanza", is_text(&self.stanza), &[Pgbackrest], &[]),
            ("server", is_text(&self.server), &[Barman], &[]),
            ("repository", is_text(&self.repository), &[], &[Restic]),
            ("tag", is_text(&self.tag), &[], &[Restic]),
            ("config_file", self.config_file.is_some(), &[], &[Pgbackrest, Barman, Walg]),
            ("program", self.program.is_some(), &[], &[Pgbackrest, Barman, Walg, Restic]),
            ("list", !self.list.is_empty(), &[Command], &[]),
            ("verify", !self.verify.is_empty(), &[], &[Command]),
            ("restore", !self.restore.is_empty(), &[], &[Command]),
            ("seal_folder", self.seal_folder.is_some(), &[], &[Pgbackrest, Barman, Walg]),
            ("max_wal_age", self.max_wal_age.is_some(), &[], &[Basebackup, Pgbackrest, Barman, Command]),
        ];
        let kind = self.kind.as_str();
        for (key, is_set, needed_by, taken_by) in keys {
            let name = format!("backup.source {:?}, {key}", self.name);
            if !is_set && needed_by.contains(&self.kind) {
                return Err(value(&name, &format!("is missing or empty; the kind {kind} needs it")));
            }
            if is_set && !needed_by.contains(&self.kind) && !taken_by.contains(&self.kind) {
                let kinds: Vec<&str> = needed_by.iter().chain(taken_by).map(|kind| kind.as_str()).collect();
                let reason =
                    format!("is not for the kind {kind}, only for {}; leave it out", kinds.join(", "));
                return Err(value(&name, &reason));
            }
        }
        if self.kind == Basebackup && self.max_wal_age.is_some() && self.wal_path.is_none() {
            let name = format!("backup.source {:?}, max_wal_age", self.name);
            return Err(value(&name, "needs wal_path, the folder that the server archives its WAL to"));
        }
        Ok(())
    }
}

impl Backup {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (name, limit) in [("stall_timeout", self.stall_timeout), ("timeout", self.timeout)] {
            if limit.is_zero() {
                return Err(value(&format!("backup.{name}"), "is zero; give a duration such as 5m"));
            }
        }
        for (index, source) in self.source.iter().enumerate() {
            if source.name.trim().is_empty() {
                return Err(value("backup.source", "a name is empty; give each source one"));
            }
            if self.source[..index].iter().any(|earlier| earlier.name == source.name) {
                return Err(value("backup.source", &format!("two sources are named {:?}", source.name)));
            }
            source.check()?;
        }
        Ok(())
    }
}

fn max_age() -> Duration {
    MAX_AGE
}

fn min_count() -> usize {
    7
}

fn max_drop_pct() -> u64 {
    30
}

fn future_tolerance() -> Duration {
    Duration::from_secs(300)
}

fn duration_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// Reads a count of bytes or "10MB", "1.5 GiB".
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Bytes(u64),
        Text(String),
    }
    let wrong =
        |text: &str| serde::de::Error::custom(format!("{text} is not a size; write it like \"10MB\""));
    match Size::deserialize(deserializer) {
        Ok(Size::Bytes(bytes)) => Ok(bytes),
        Ok(Size::Text(text)) => {
            text.parse::<ByteSize>().map(|size| size.0).map_err(|_| wrong(&format!("{text:?}")))
        }
        Err(_) => Err(wrong("this")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::load, *};
    use crate::config::Environment;

    const SOURCE: &str = "[[backup.source]]\nname = 'nightly'\nkind = 'dump'\npath = '/b'\n";

    #[test]
    fn a_source_has_defaults() {
        let config = load(SOURCE, Environment::default()).unwrap();
        assert_eq!(config.backup.source, [BackupSource::dumps("nightly", "/b")]);
        let source = &config.backup_sources().unwrap()[0];
        assert_eq!(source.warn_age(), Duration::from_secs((24 * 60 + 30) * 60));
        assert_eq!((source.min_count, source.max_drop_pct), (7, 30));
    }

    #[test]
    fn every_threshold_can_be_set() {
        let more = "pattern = '*.dump'\nmax_age = '2days'\nwarn_age = '1day 3h'\nmin_count = 1\nmin_size = '10MB'\nmax_drop_pct = 50\nfuture_tolerance = '90s'\n";
        let config = load(&format!("{SOURCE}{more}"), Environment::default()).unwrap();
        let expected = BackupSource {
            pattern: Some("*.dump".into()),
            max_age: Duration::from_secs(48 * 3600),
            warn_age: Some(Duration::from_secs(27 * 3600)),
            min_count: 1,
            min_size: 10_000_000,
            max_drop_pct: 50,
            future_tolerance: Duration::from_secs(90),
            ..BackupSource::dumps("nightly", "/b")
        };
        assert_eq!(config.backup.source, [expected]);
    }

    #[test]
    fn what_does_not_hold_is_said() {
        let second = format!("{SOURCE}[[backup.source]]\nname = 'nightly'\nkind = 'dump'\npath = '/c'\n");
        for (text, said) in [
            (format!("{SOURCE}max_ages = '25h'\n"), "line 5: unknown field `max_ages`"),
            (format!("{SOURCE}max_ages = '25h'\n"), "did you mean `max_age`?"),
            (format!("{SOURCE}max_age = '25'\n"), "\"25\" is not a duration"),
            (format!("{SOURCE}max_age = '20h'\nwarn_age = '21h'\n"), "longer than max_age"),
            (format!("{SOURCE}future_tolerance = '25h'\n"), "not shorter than max_age"),
            (format!("{SOURCE}min_size = 'ten'\n"), "\"ten\" is not a size"),
            (format!("{SOURCE}min_size = -1\n"), "is not a size"),
            (format!("{SOURCE}max_drop_pct = 0\n"), "percentage of 1 to 100"),
            (format!("{SOURCE}pattern = '/x/*'\n"), "relative to path"),
            (format!("{SOURCE}pattern = '[a'\n"), "not a pattern"),
            (SOURCE.replace("'dump'", "'dumb'"), "unknown variant `dumb`"),
            (SOURCE.replace("'nightly'", "' '"), "a name is empty"),
            (SOURCE.replace("path = '/b'\n", ""), "path: is missing or empty; the kind dump needs it"),
            (format!("{SOURCE}stanza = 'main'\n"), "is not for the kind dump, only for pgbackrest"),
            (SOURCE.replace("'dump'", "'barman'"), "path: is not for the kind barman"),
            (
                SOURCE.replace("'dump'", "'basebackup'") + "max_wal_age = '1h'\n",
                "max_wal_age: needs wal_path",
            ),
            (second, "two sources are named \"nightly\""),
        ] {
            let error = load(&text, Environment::default()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}\nwithout: {said}");
        }
    }

    #[test]
    fn backup_dir_alone_gives_one_source() {
        let environment = Environment::of([("BACKUP_DIR", "/var/backups/pg")]);
        let config = load("", environment.clone()).unwrap();
        assert_eq!(config.backup_sources().unwrap(), [BackupSource::dumps("backups", "/var/backups/pg")]);
        let config = load(SOURCE, environment).unwrap();
        assert_eq!(config.backup_sources().unwrap()[0].name, "nightly");
    }

    #[test]
    fn no_source_at_all_is_an_error() {
        let config = load("", Environment::default()).unwrap();
        assert!(matches!(config.backup_sources(), Err(ConfigError::NoBackupSource)));
    }
}
