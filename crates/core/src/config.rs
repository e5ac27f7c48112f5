//! Flags' defaults, environment and `stockfoil.toml` become one checked [`Config`]. The only reader of the
//! environment.
//!
//! Order: flags (applied by the binaries), environment, `.env` in the working folder, `stockfoil.toml`, defaults.

mod alerts;
mod backup;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::{
    ledger::Quantity,
    mapping::{Mapping, file},
};

pub use alerts::{Alerts, Email, Healthcheck, Healthchecks, Hook, PagerDuty, Slack, Webhook};
pub use backup::{Backup, BackupKind, BackupSource};

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

/// Everything that a command may be told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The tables and columns that commands work on.
    pub mapping: Mapping,
    /// Organizations and their tables.
    pub tenancy: Tenancy,
    /// Reconciliation.
    pub reconcile: Reconcile,
    /// Who is told.
    pub alerts: Alerts,
    /// What is kept of what ran.
    pub history: History,
    /// Backups. Ask [`Config::backup_sources`] for the sources.
    pub backup: Backup,
    environment: Environment,
}

/// `[tenancy]`, beside what the mapping takes of it.
#[derive(Debug, Clone)]
pub struct Tenancy {
    /// The id of the organization that existing rows are given to (`DEFAULT_ORG_ID`), of the mapping's type.
    pub default_org_id: String,
    /// Its name.
    pub default_org_name: String,
    /// Subdomains that no organization may take, beside the built-in ones.
    pub reserved_subdomains: Vec<String>,
}

/// `[reconcile]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reconcile {
    /// A difference whose absolute value is below this is small. In the item's canonical unit.
    pub tolerance: Quantity,
    /// In how many runs the whole history is read again; 0: never.
    pub history_runs: u32,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self { tolerance: Quantity::hundredth(), history_runs: 7 }
    }
}

/// `[history]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// How many days runs and closed findings are kept; 0: for ever.
    pub keep_days: u32,
}

impl Default for History {
    fn default() -> Self {
        Self { keep_days: 400 }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    database: DatabaseFile,
    tenancy: file::Tenancy,
    ledger: file::Ledger,
    balances: file::Balances,
    reconcile: Reconcile,
    alerts: Alerts,
    history: History,
    backup: Backup,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DatabaseFile {
    url: Option<Secret>,
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
    /// Reads the process's environment and `.env` in the working folder.
    ///
    /// # Errors
    /// When there is a `.env` that can't be read or parsed.
    pub fn read() -> Result<Self, ConfigError> {
        let mut variables = BTreeMap::new();
        let dotenv = Path::new(".env");
        if dotenv.exists() {
            let entries = dotenvy::from_path_iter(dotenv).map_err(|error| ConfigError::Unreadable {
                path: dotenv.into(),
                reason: error.to_string(),
            })?;
            for entry in entries {
                // The library's message repeats the line, which may hold a password.
                let (name, value) = entry.map_err(|_| ConfigError::File {
                    path: dotenv.into(),
                    reason: "a line does not parse; write NAME=value, with quotes around spaces".into(),
                })?;
                variables.insert(name, Secret(value));
            }
        }
        #[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
        let real = std::env::vars_os();
        for (name, value) in real {
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                variables.insert(name, Secret(value));
            }
        }
        Ok(Self(variables))
    }

    /// An environment of exactly these variables.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value))).collect())
    }

    /// The value of `name`, unless it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Secret::expose).filter(|value| !value.is_empty())
    }
}

impl Config {
    /// Reads and checks the configuration.
    ///
    /// `file` is the `--config` flag; without it `STOCKFOIL_CONFIG`, `./stockfoil.toml` and
    /// `/etc/stockfoil/stockfoil.toml` are looked for in this order, and none of them need be there.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that does not hold.
    pub fn load(file: Option<&Path>, environment: Environment) -> Result<Self, ConfigError> {
        let named =
            file.map(Path::to_path_buf).or_else(|| environment.get("STOCKFOIL_CONFIG").map(PathBuf::from));
        let path = named.or_else(|| {
            ["stockfoil.toml", "/etc/stockfoil/stockfoil.toml"]
                .map(PathBuf::from)
                .into_iter()
                .find(|path| path.exists())
        });
        let (file, text) = match &path {
            Some(path) => parse_file(path)?,
            None => (File::default(), String::new()),
        };
        let source = path.as_deref().map(|path| (path, text.as_str()));
        let mapping = Mapping::new(&file.tenancy, &file.ledger, &file.balances, source)?;
        let mut config = Self {
            tenancy: Tenancy {
                default_org_id: mapping.default_org_id(file.tenancy.default_org_id.as_ref(), source)?,
                default_org_name: file
                    .tenancy
                    .default_org_name
                    .unwrap_or_else(|| "Default Organization".to_owned()),
                reserved_subdomains: file.tenancy.reserved_subdomains,
            },
            mapping,
            reconcile: file.reconcile,
            alerts: file.alerts,
            history: file.history,
            backup: file.backup,
            environment,
        };
        config.alerts.resolve(&config.environment)?;
        if let Some(id) = config.environment.get("DEFAULT_ORG_ID") {
            config.tenancy.default_org_id = id.to_owned();
        }
        if config.environment.get("DATABASE_URL").is_none()
            && let Some(url) = file.database.url
        {
            config.environment.0.insert("DATABASE_URL".into(), url);
        }
        config.check()?;
        Ok(config)
    }

    /// How to connect.
    ///
    /// # Errors
    /// When no database is named or the URL does not parse; never with the URL's text.
    pub fn connect_options(&self) -> Result<PgConnectOptions, ConfigError> {
        let environment = &self.environment;
        let Some(url) = environment.get("DATABASE_URL") else {
            return self.connect_options_from_variables();
        };
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(ConfigError::Url("it does not start with postgres://".into()));
        }
        url.parse().map_err(|error| {
            let reason = match error {
                sqlx::Error::Configuration(reason) if !reason.to_string().contains(url) => reason.to_string(),
                _ => "it does not parse".into(),
            };
            ConfigError::Url(reason)
        })
    }

    /// The sources of backups, at least one.
    ///
    /// # Errors
    /// [`ConfigError::NoBackupSource`].
    pub fn backup_sources(&self) -> Result<Vec<BackupSource>, ConfigError> {
        match self.environment.get("BACKUP_DIR") {
            _ if !self.backup.source.is_empty() => Ok(self.backup.source.clone()),
            Some(folder) => Ok(vec![BackupSource::dumps("backups", folder)]),
            None => Err(ConfigError::NoBackupSource),
        }
    }

    /// The same configuration for a database behind the socket in `host`, whatever the environment says of one.
    pub(crate) fn for_socket(&self, host: &Path, user: &str, database: &str) -> Self {
        let mut config = self.clone();
        let variables = &mut config.environment.0;
        variables.retain(|name, _| !name.starts_with("PG") && name != "DATABASE_URL");
        let host = host.to_string_lossy();
        for (name, value) in [
            ("PGHOST", &*host),
            ("PGPORT", "5432"),
            ("PGUSER", user),
            ("PGDATABASE", database),
            ("PGSSLMODE", "disable"),
        ] {
            variables.insert(name.into(), Secret::new(value));
        }
        config
    }

    /// The environment of a backup tool: this process's, where tools look for their repositories and keys, less
    /// what speaks of the production database and of our own channels.
    pub(crate) fn tool_environment(&self) -> BTreeMap<String, Secret> {
        let is_ours = |name: &str| {
            (name.starts_with("PG") && !name.starts_with("PGBACKREST_"))
                || name.starts_with("SMTP_")
                || ["DATABASE_URL", "SLACK_WEBHOOK_URL", "PAGERDUTY_KEY", "ALERT_EMAIL", "STOCKFOIL_CONFIG"]
                    .contains(&name)
        };
        self.environment
            .0
            .iter()
            .filter(|(name, _)| !is_ours(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Where drills make their private folders.
    pub(crate) fn drill_folder(&self) -> PathBuf {
        let folder = self.backup.drill_folder.clone();
        folder.unwrap_or_else(|| self.environment.get("TMPDIR").unwrap_or("/var/tmp").into())
    }

    /// PATH, in which programs are looked for.
    pub fn search_path(&self) -> &str {
        self.environment.get("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin")
    }

    fn connect_options_from_variables(&self) -> Result<PgConnectOptions, ConfigError> {
        let get = |name| self.environment.get(name);
        if get("PGHOST").is_none() && get("PGDATABASE").is_none() && get("PGHOSTADDR").is_none() {
            return Err(ConfigError::NoDatabase);
        }
        let mut options = PgConnectOptions::new();
        if let Some(host) = get("PGHOSTADDR").or(get("PGHOST")) {
            options = options.host(host);
        }
        if let Some(port) = get("PGPORT") {
            options = options
                .port(port.parse().map_err(|_| value("PGPORT", "not a port number; give 1 to 65535"))?);
        }
        if let Some(user) = get("PGUSER") {
            options = options.username(user);
        }
        if let Some(password) = get("PGPASSWORD") {
            options = options.password(password);
        }
        if let Some(database) = get("PGDATABASE") {
            options = options.database(database);
        }
        if let Some(mode) = get("PGSSLMODE") {
            let mode: PgSslMode = mode.parse().map_err(|_| {
                value(
                    "PGSSLMODE",
                    "not a mode; give disable, allow, prefer, require, verify-ca or verify-full",
                )
            })?;
            options = options.ssl_mode(mode);
        }
        if let Some(certificate) = get("PGSSLROOTCERT") {
            options = options.ssl_root_cert(certificate);
        }
        Ok(options)
    }

    fn check(&self) -> Result<(), ConfigError> {
        crate::tenancy::OrgId::of(self.mapping.org_type(), &self.tenancy.default_org_id)
            .map_err(|error| value("DEFAULT_ORG_ID", &error.to_string()))?;
        crate::tenancy::organization::check_name(&self.tenancy.default_org_name)
            .map_err(|error| value("tenancy.default_org_name", &error.to_string()))?;
        check_tolerance("reconcile.tolerance", &self.reconcile.tolerance)?;
        self.backup.check()
    }
}

/// Checks a tolerance that came from `name` (a key or a flag): a finite number, zero or more.
///
/// # Errors
/// [`ConfigError::Value`] when it is negative or not a number.
pub fn check_tolerance(name: &str, tolerance: &Quantity) -> Result<(), ConfigError> {
    if tolerance.is_finite() && !tolerance.is_negative() {
        Ok(())
    } else {
        Err(value(
            name,
            &format!("{tolerance} is not a tolerance; give a number of zero or more, such as 0.01"),
        ))
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

/// Reads "25h" or "24h30m".
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|_| {
        serde::de::Error::custom(format!("{text:?} is not a duration; write it like 25h, 24h30m or 90s"))
    })
}

fn value(name: &str, reason: &str) -> ConfigError {
    ConfigError::Value { name: name.to_owned(), reason: reason.to_owned() }
}

fn parse_file(path: &Path) -> Result<(File, String), ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.into(), reason: error.to_string() })?;
    let file = toml::from_str(&text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let mut reason = error.message().to_owned();
        if let Some(near) = nearest_field(&reason) {
            reason = format!("{reason}; did you mean `{near}`?");
        }
        let place = line.map_or_else(String::new, |line| format!("line {line}: "));
        ConfigError::File { path: path.into(), reason: format!("{place}{reason}") }
    })?;
    Ok((file, text))
}

/// Reads serde's "unknown field `x`, expected one of `a`, `b`" for the field that is nearest to `x`.
fn nearest_field(message: &str) -> Option<&str> {
    let mut names = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let given = names.next()?;
    nearest(given, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(text: &str, environment: Environment) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stockfoil.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), environment)
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_known_one() {
        let error = load("[tenancy]\ndefault_org = 'x'\n", Environment::default()).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(error.contains("did you mean `default_org_id`?"), "{error}");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let environment = Environment::of([("DEFAULT_ORG_ID", "acme")]);
        let config = load("[tenancy]\ndefault_org_id = 'file'\n", environment).unwrap();
        assert_eq!(config.tenancy.default_org_id, "acme");
    }

    #[test]
    fn a_malformed_url_is_never_repeated() {
        for url in [
            "postgres://user:s3cret@host:port/db",
            "mysql://user:s3cret@host/db",
            "s3cret",
            "postgres://s3cret:s3cret@[/x",
        ] {
            let config = load("", Environment::of([("DATABASE_URL", url)])).unwrap();
            let error = config.connect_options().unwrap_err();
            assert!(!format!("{error} {error:?} {config:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn no_database_is_said() {
        let config = load("", Environment::default()).unwrap();
        assert!(matches!(config.connect_options(), Err(ConfigError::NoDatabase)));
    }

    #[test]
    fn a_webhook_that_is_no_web_address_is_refused_and_never_repeated() {
        for url in ["hooks.example.com/s3cret", "ftp://host/s3cret", "https:///s3cret", "https://a b/s3cret"]
        {
            let error = load("", Environment::of([("SLACK_WEBHOOK_URL", url)])).unwrap_err();
            assert!(error.to_string().contains("SLACK_WEBHOOK_URL: not a web address"), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn a_duration_has_units() {
        let config = load("[alerts]\ntimeout = '1m30s'\n", Environment::default()).unwrap();
        assert_eq!(config.alerts.timeout, Duration::from_secs(90));
        let error = load("[alerts]\ntimeout = '90'\n", Environment::default()).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("\"90\" is not a duration"), "{error}");
    }

    #[test]
    fn a_negative_tolerance_is_refused() {
        let error = load("[reconcile]\ntolerance = '-1'\n", Environment::default()).unwrap_err();
        assert!(error.to_string().contains("zero or more"), "{error}");
    }
}
