//! What every module's settings are made of: secrets, durations, variables of the environment, and what is wrong with a
//! value.

pub(crate) mod connection;

use std::{collections::BTreeMap, convert::Infallible, fmt, path::PathBuf, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer};
use sqlx::postgres::PgConnectOptions;

/// Why a configuration does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No database was named.
    #[error(
        "no database is configured; set DATABASE_URL (postgres://user@host/database) or PGHOST, PGUSER and PGDATABASE"
    )]
    NoDatabase,
    /// No backup was named.
    #[error(
        "no backup source is configured; set BACKUP_DIR to the folder of the dumps, or write [[backup.source]] in stockfoil.toml"
    )]
    NoBackupSource,
    /// The URL does not parse; its text is withheld, since it may hold a password.
    #[error("DATABASE_URL is not a PostgreSQL URL ({0}); write postgres://user:password@host:5432/database")]
    Url(String),
    /// A file that was named can't be read.
    #[error("configuration file {path} can't be read: {reason}; check the path and its permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// A file's text does not hold.
    #[error("configuration file {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Line, what was found and what is expected instead.
        reason: String,
    },
    /// A value from the environment or a flag does not hold.
    #[error("{name}: {reason}")]
    Value {
        /// The variable, key or flag.
        name: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
}

/// A text that never shows itself: URLs with passwords, keys, webhooks.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What it says as the URL of a database.
    ///
    /// # Errors
    /// Why it is none, without its text.
    pub(crate) fn database(&self) -> Result<PgConnectOptions, String> {
        let url = self.expose();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("it does not start with postgres://".into());
        }
        let query = url.split('#').next().and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, given) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
            if let Some(reason) = connection::refusal(&decoded(name), &decoded(given)) {
                return Err(reason);
            }
        }
        url.parse().map_err(|error| match error {
            sqlx::Error::Configuration(reason) if !reason.to_string().contains(url) => reason.to_string(),
            _ => "it does not parse".into(),
        })
    }

    /// Checks that it is the URL of a database, as the value of `name`.
    ///
    /// # Errors
    /// That it is none, without its text.
    pub fn require_database(&self, name: &str) -> Result<(), ConfigError> {
        let told = |reason| {
            let text = format!("not a PostgreSQL URL ({reason}); write postgres://user@host:5432/database");
            value(name, &text)
        };
        self.database().map(drop).map_err(told)
    }
}

/// A flag's value: what does not parse would be repeated in the error, so everything does, and is checked later.
impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The variables that a process was given, with those of `.env` below them.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, Secret>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// An environment of exactly these variables.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value))).collect())
    }

    /// Sets `name`, over what it was.
    pub(crate) fn set(&mut self, name: &str, value: Secret) {
        self.0.insert(name.to_owned(), value);
    }

    /// Leaves only the variables whose name `keeps`.
    pub(crate) fn retain(&mut self, keeps: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| keeps(name));
    }

    /// The variables, for a program that is given them.
    pub(crate) fn into_variables(self) -> BTreeMap<String, Secret> {
        self.0
    }

    /// The value of `name`, unless it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Secret::expose).filter(|value| !value.is_empty())
    }
}

/// The name among `known` that a person most likely meant by `given`, if any is near.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Reads a duration such as "25h" or "24h30m".
///
/// # Errors
/// The deserializer's, with an example, for a text without units.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|_| {
        serde::de::Error::custom(format!("{text:?} is not a duration; write it like 25h, 24h30m or 90s"))
    })
}

/// A value that does not hold: the variable, key or flag, and what is wrong with it.
pub(crate) fn value(name: &str, reason: &str) -> ConfigError {
    ConfigError::Value { name: name.to_owned(), reason: reason.to_owned() }
}
