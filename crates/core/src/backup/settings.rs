//! `[backup]`: where backups are and what is expected of them.

mod source;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer};

use super::BackupError;
use crate::{
    Error,
    settings::{ConfigError, Environment, Secret, duration, nearest, value},
    throwaway,
};
pub use source::{BackupKind, BackupSource};

/// PATH where the environment has none.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Where private folders are made when nothing is said.
const PARENT: &str = "/var/tmp";

/// `[backup]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The sources, each `[[backup.source]]`; without any, the one that `BACKUP_DIR` gives.
    pub source: Vec<BackupSource>,
    /// What a restored database is asked besides, each `[[backup.check]]`.
    pub check: Vec<Check>,
    /// The `pg_restore` to run: a name that is looked for in PATH, or a path; none: the first that takes the dump, of
    /// `pg_bin`, PATH and where distributions put them.
    pub pg_restore: Option<PathBuf>,
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
    /// Whether drills go on where the kernel can't keep them inside of their folder.
    pub drill_unconfined: bool,
    /// Libraries that the throwaway cluster may preload where the restored configuration does.
    pub drill_preload_libraries: Vec<String>,
    /// PATH, in which programs are looked for.
    #[serde(skip)]
    pub(super) search_path: String,
    /// What the programs of sources get of the environment.
    #[serde(skip)]
    tool_environment: BTreeMap<String, Secret>,
}

/// `[[backup.check]]`: a question to each restored database of the inventory, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The statement.
    pub sql: String,
    /// What it must give, as psql prints it without headers: rows by line, columns with `|` between them.
    pub expect: String,
    /// Only in drills of this source; none: in all.
    #[serde(default)]
    pub source: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            source: Vec::new(),
            check: Vec::new(),
            pg_restore: None,
            pg_bin: None,
            stall_timeout: Duration::from_secs(300),
            timeout: Duration::from_secs(12 * 3600),
            drill_folder: None,
            drill_reserve: 256 << 20,
            drill_user: "postgres".into(),
            drill_unconfined: false,
            drill_preload_libraries: Vec::new(),
            search_path: SEARCH_PATH.to_owned(),
            tool_environment: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Fills in what the environment says: a source, where none is configured; where programs and private folders are.
    pub(crate) fn resolve(&mut self, environment: &Environment) {
        if self.source.is_empty()
            && let Some(folder) = environment.get("BACKUP_DIR")
        {
            self.source.push(BackupSource::dumps("backups", folder));
        }
        self.drill_folder.get_or_insert_with(|| environment.get("TMPDIR").unwrap_or(PARENT).into());
        self.search_path = environment.get("PATH").unwrap_or(SEARCH_PATH).to_owned();
        self.tool_environment = tool_environment(environment.clone());
    }

    /// Checks what does not depend on the sources being there.
    ///
    /// # Errors
    /// The first value that does not hold.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for check in &self.check {
            if check.sql.trim().is_empty() {
                return Err(value("backup.check", "sql is empty; give a statement"));
            }
            let is_known = |name: &String| self.source.iter().any(|source| source.name == *name);
            if let Some(name) = check.source.as_ref().filter(|name| !is_known(name)) {
                return Err(value("backup.check", &format!("no source is named {name:?}")));
            }
        }
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

    /// The sources, at least one.
    ///
    /// # Errors
    /// [`ConfigError::NoBackupSource`].
    pub fn sources(&self) -> Result<&[BackupSource], ConfigError> {
        if self.source.is_empty() { Err(ConfigError::NoBackupSource) } else { Ok(&self.source) }
    }

    /// The sources to look at: all, or the one of this name.
    pub(super) fn choose(&self, name: Option<&str>) -> Result<&[BackupSource], Error> {
        let sources = self.sources()?;
        let Some(name) = name else { return Ok(sources) };
        match sources.iter().position(|source| source.name == name) {
            Some(at) => Ok(&sources[at..=at]),
            None => Err(unknown_source(name, sources.iter().map(|source| source.name.as_str())).into()),
        }
    }

    /// The environment of the program of `source`: this process's, less what is none of its business, and its own.
    pub(super) fn environment_of(&self, source: &BackupSource) -> BTreeMap<String, Secret> {
        let mut environment = self.tool_environment.clone();
        environment.entry("PATH".to_owned()).or_insert_with(|| Secret::new(&*self.search_path));
        environment.extend(source.environment.clone());
        environment
    }

    /// What steers throwaway clusters.
    pub(crate) fn throwaway(&self) -> throwaway::Settings {
        throwaway::Settings {
            names: throwaway::Names {
                purpose: "drill",
                parent: "backup.drill_folder",
                user: "backup.drill_user",
                unconfined: "backup.drill_unconfined",
                programs: "backup.pg_bin",
                timeout: "backup.timeout",
            },
            parent: self.drill_folder.clone().unwrap_or_else(|| PARENT.into()),
            reserve_bytes: self.drill_reserve,
            user: self.drill_user.clone(),
            is_confined: !self.drill_unconfined,
            preload_libraries: self.drill_preload_libraries.clone(),
            programs: self.pg_bin.clone(),
            search_path: self.search_path.clone(),
            stall: self.stall_timeout,
            timeout: self.timeout,
        }
    }
}

/// The environment of a backup tool: this process's, where tools look for their repositories and keys, less what
/// speaks of the production database and of our own channels.
fn tool_environment(mut environment: Environment) -> BTreeMap<String, Secret> {
    let is_ours = |name: &str| {
        (name.starts_with("PG") && !name.starts_with("PGBACKREST_"))
            || name.starts_with("SMTP_")
            || ["DATABASE_URL", "SLACK_WEBHOOK_URL", "PAGERDUTY_KEY", "ALERT_EMAIL", "STOCKFOIL_CONFIG"]
                .contains(&name)
    };
    environment.retain(|name| !is_ours(name));
    environment.into_variables()
}

fn unknown_source<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> BackupError {
    let remedy = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
    };
    BackupError::UnknownSource { name: name.to_owned(), remedy }
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
    use super::*;
    use crate::config::tests::load;

    const SOURCE: &str = "[[backup.source]]\nname = 'nightly'\nkind = 'dump'\npath = '/b'\n";

    #[test]
    fn a_source_has_defaults() {
        let config = load(SOURCE, Environment::default()).unwrap();
        assert_eq!(config.backup.source, [BackupSource::dumps("nightly", "/b")]);
        let source = &config.backup.sources().unwrap()[0];
        assert_eq!(source.warn_age(), Duration::from_secs((24 * 60 + 30) * 60));
        assert_eq!((source.min_count, source.max_drop_pct), (1, 30));
    }

    #[test]
    fn every_threshold_can_be_set() {
        let more = "pattern = '*.dump'\nmax_age = '2days'\nwarn_age = '1day 3h'\nmin_count = 3\nmin_size = '10MB'\nmax_drop_pct = 50\nfuture_tolerance = '90s'\n";
        let config = load(&format!("{SOURCE}{more}"), Environment::default()).unwrap();
        let expected = BackupSource {
            pattern: Some("*.dump".into()),
            max_age: Duration::from_secs(48 * 3600),
            warn_age: Some(Duration::from_secs(27 * 3600)),
            min_count: 3,
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
        assert_eq!(config.backup.sources().unwrap(), [BackupSource::dumps("backups", "/var/backups/pg")]);
        let config = load(SOURCE, environment).unwrap();
        assert_eq!(config.backup.sources().unwrap()[0].name, "nightly");
    }

    #[test]
    fn no_source_at_all_is_an_error() {
        let config = load("", Environment::default()).unwrap();
        assert!(matches!(config.backup.sources(), Err(ConfigError::NoBackupSource)));
    }
}
