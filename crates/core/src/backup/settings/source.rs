//! `[[backup.source]]`: a series of backups, and what is expected of it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer};

use super::size;
use crate::settings::{ConfigError, Secret, duration, value};

/// The age beyond which a backup is stale when nothing else is said: a day and an hour of grace.
const MAX_AGE: Duration = Duration::from_secs(25 * 3600);

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
    /// Dumps and base backups in object storage that speaks S3.
    S3,
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
            Self::S3 => "s3",
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
    /// like one. `s3`: which of those below `prefix`. `restic`, `command`: which of the files that are brought back.
    #[serde(default)]
    pub pattern: Option<String>,
    /// `basebackup`: the folder that the server archives its WAL to.
    #[serde(default)]
    pub wal_path: Option<PathBuf>,
    /// `pgbackrest`: the stanza.
    #[serde(default)]
    pub stanza: Option<String>,
    /// `pgbackrest`: the repository by its number; none: each that is configured.
    #[serde(default)]
    pub repo: Option<u32>,
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
    /// `s3`: the bucket.
    #[serde(default)]
    pub bucket: Option<String>,
    /// `s3`: below what its backups lie in the bucket (`stock/nightly`); none: all of it.
    #[serde(default)]
    pub prefix: Option<String>,
    /// `s3`: the storage's address (`https://minio.example:9000`); none: that of AWS.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// `s3`: the region; none: AWS_REGION, or us-east-1.
    #[serde(default)]
    pub region: Option<String>,
    /// `s3`: whether the bucket is named in the path and not in the host; none: where there is an `endpoint`.
    #[serde(default)]
    pub path_style: Option<bool>,
    /// `s3`: whether the endpoint may be one without TLS.
    #[serde(default)]
    pub allow_http: bool,
    /// `s3`: a file with the keys, as the tools of AWS have it; none: the environment.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
    /// `command`: the program that lists the backups, with its arguments.
    #[serde(default)]
    pub list: Vec<String>,
    /// `command`: the program that reads the backup `{backup}` to its last byte.
    #[serde(default)]
    pub verify: Vec<String>,
    /// `command`: the program that restores the backup `{backup}` into the folder `{folder}`.
    #[serde(default)]
    pub restore: Vec<String>,
    /// The program that decrypts a backup's file, with its arguments: it reads the file from standard input and writes
    /// what is in it to standard output.
    #[serde(default)]
    pub decrypt: Vec<String>,
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
    /// Whether an inventory without entries is what is expected.
    #[serde(default)]
    pub expect_empty: bool,
    /// Tables that its dumps leave out, or leave the rows out of, on purpose: `logs`, `audit.events`, `audit.*`.
    #[serde(default)]
    pub left_out: Vec<String>,
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
    /// Too much would be lost when the newest entry of the ledger is older that a drill restored, or by what production says a
    /// restore would; none: it is not asked.
    #[serde(default, deserialize_with = "duration_some")]
    pub max_rpo: Option<Duration>,
}

impl BackupSource {
    /// Whether its dumps leave the table out on purpose, or its rows.
    pub(crate) fn leaves_out(&self, schema: &str, name: &str) -> bool {
        self.left_out.iter().any(|known| match known.split_once('.') {
            Some((of, "*")) => of == schema,
            Some((of, table)) => of == schema && table == name,
            None => schema == "public" && known == name,
        })
    }

    /// A source of dumps in `path` with every threshold at its default.
    pub fn dumps(name: &str, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            kind: BackupKind::Dump,
            path: path.into(),
            pattern: None,
            wal_path: None,
            stanza: None,
            repo: None,
            server: None,
            repository: None,
            tag: None,
            config_file: None,
            program: None,
            bucket: None,
            prefix: None,
            endpoint: None,
            region: None,
            path_style: None,
            allow_http: false,
            credentials_file: None,
            list: Vec::new(),
            verify: Vec::new(),
            restore: Vec::new(),
            decrypt: Vec::new(),
            environment: BTreeMap::new(),
            database: None,
            seal_folder: None,
            max_age: max_age(),
            warn_age: None,
            min_count: min_count(),
            expect_empty: false,
            left_out: Vec::new(),
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
            BackupKind::S3 => match self.prefix.as_deref().map(|prefix| prefix.trim_matches('/')) {
                Some(prefix) if !prefix.is_empty() => {
                    format!("prefix {prefix} of bucket {}", text(&self.bucket))
                }
                _ => format!("bucket {}", text(&self.bucket)),
            },
            BackupKind::Command => {
                format!("what {} tells of", self.list.first().map_or("the program", String::as_str))
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let name = &self.name;
        let wrong = |key: &str, reason: &str| Err(value(&format!("backup.source {name:?}, {key}"), reason));
        self.check_keys()?;
        if let Some(Err(error)) = self.pattern.as_deref().map(glob::Pattern::new) {
            return wrong("pattern", &format!("not a pattern ({}); write it like *.dump", error.msg));
        }
        if self.pattern.as_ref().is_some_and(|pattern| pattern.is_empty() || pattern.starts_with('/')) {
            return wrong("pattern", "must be relative to path; write it like *.dump");
        }
        if self.decrypt.iter().any(|word| word.trim().is_empty()) {
            return wrong(
                "decrypt",
                "has an empty word; write it like [\"gpg\", \"--batch\", \"--decrypt\"]",
            );
        }
        if let Some(word) = shown_secret(&self.decrypt) {
            return wrong(
                "decrypt",
                &format!(
                    "gives a secret as an argument ({word}), which the list of processes shows to everybody; give a file, or a variable in environment"
                ),
            );
        }
        if let Some(endpoint) = &self.endpoint {
            let (scheme, host) = endpoint.split_once("://").unwrap_or_default();
            if !["http", "https"].contains(&scheme) || host.is_empty() || host.contains(['@', '?', '#']) {
                return wrong(
                    "endpoint",
                    "is no address; write it like https://minio.example:9000, without a user and without a query",
                );
            }
            if scheme == "http" && !self.allow_http {
                return wrong(
                    "endpoint",
                    "has no TLS, so that everybody on the way could read the backups; write https://, or set allow_http = true",
                );
            }
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
        use BackupKind::{Barman, Basebackup, Command, Dump, Pgbackrest, Restic, S3, Walg};
        type Key = (&'static str, bool, &'static [BackupKind], &'static [BackupKind]);
        let is_text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        // Key, whether it is set, which kinds need it, which others take it.
        let keys: [Key; 23] = [
            ("path", !self.path.as_os_str().is_empty(), &[Dump, Basebackup], &[]),
            ("pattern", self.pattern.is_some(), &[S3], &[Dump, Basebackup, Restic, Command]),
            ("wal_path", self.wal_path.is_some(), &[], &[Basebackup]),
            ("stanza", is_text(&self.stanza), &[Pgbackrest], &[]),
            ("repo", self.repo.is_some(), &[], &[Pgbackrest]),
            ("server", is_text(&self.server), &[Barman], &[]),
            ("repository", is_text(&self.repository), &[], &[Restic]),
            ("tag", is_text(&self.tag), &[], &[Restic]),
            ("config_file", self.config_file.is_some(), &[], &[Pgbackrest, Barman, Walg]),
            ("program", self.program.is_some(), &[], &[Pgbackrest, Barman, Walg, Restic]),
            ("bucket", is_text(&self.bucket), &[S3], &[]),
            ("prefix", self.prefix.is_some(), &[], &[S3]),
            ("endpoint", is_text(&self.endpoint), &[], &[S3]),
            ("region", is_text(&self.region), &[], &[S3]),
            ("path_style", self.path_style.is_some(), &[], &[S3]),
            ("allow_http", self.allow_http, &[], &[S3]),
            ("credentials_file", self.credentials_file.is_some(), &[], &[S3]),
            ("list", !self.list.is_empty(), &[Command], &[]),
            ("verify", !self.verify.is_empty(), &[], &[Command]),
            ("restore", !self.restore.is_empty(), &[], &[Command]),
            ("decrypt", !self.decrypt.is_empty(), &[], &[Dump, Basebackup, Restic, Command, S3]),
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

/// The option by which a program is given a secret as an argument, where one of `words` is such an option.
fn shown_secret(words: &[String]) -> Option<&str> {
    let program = words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word));
    words.iter().skip(1).find_map(|word| {
        let option = word.split('=').next().unwrap_or(word);
        let is_secret = match option {
            "--passphrase" | "--password" => true,
            "-k" | "-K" => program == "openssl",
            _ => word.starts_with("pass:"),
        };
        is_secret.then(|| if word.starts_with("pass:") { "pass:" } else { option })
    })
}

fn max_age() -> Duration {
    MAX_AGE
}

fn min_count() -> usize {
    1
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
