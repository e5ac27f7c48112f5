//! `[backup]`: where backups are and what is expected of them.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer};

use super::{ConfigError, duration, value};

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
    /// A program or a folder that shows no sign of life for this long is given up.
    #[serde(deserialize_with = "duration")]
    pub stall_timeout: Duration,
}

impl Default for Backup {
    fn default() -> Self {
        Self { source: Vec::new(), pg_restore: "pg_restore".into(), stall_timeout: Duration::from_secs(300) }
    }
}

/// What kind of backup a source holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// What pg_dump writes: custom, directory, tar and plain format, compressed or not.
    Dump,
}

/// `[[backup.source]]`: one series of backups, and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSource {
    /// What reports, alerts and metrics call it.
    pub name: String,
    /// What kind of backup it holds.
    pub kind: BackupKind,
    /// The folder.
    pub path: PathBuf,
    /// Which entries of the folder are its backups (`*.dump`, `*/db.tar`); none: all that look like one.
    #[serde(default)]
    pub pattern: Option<String>,
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
}

impl BackupSource {
    /// A source of dumps in `path` with every threshold at its default.
    pub fn dumps(name: &str, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            kind: BackupKind::Dump,
            path: path.into(),
            pattern: None,
            max_age: max_age(),
            warn_age: None,
            min_count: min_count(),
            min_size: 0,
            max_drop_pct: max_drop_pct(),
            future_tolerance: future_tolerance(),
        }
    }

    /// The age beyond which a warning is given.
    pub fn warn_age(&self) -> Duration {
        self.warn_age.unwrap_or(self.max_age - self.max_age / 50)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = &self.name;
        let wrong = |key: &str, reason: &str| Err(value(&format!("backup.source {name:?}, {key}"), reason));
        if self.path.as_os_str().is_empty() {
            return wrong("path", "is empty; give the folder of the backups");
        }
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
}

impl Backup {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.stall_timeout.is_zero() {
            return Err(value("backup.stall_timeout", "is zero; give a duration such as 5m"));
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
            (SOURCE.replace("path = '/b'\n", ""), "missing field `path`"),
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
