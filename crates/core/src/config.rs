//! Flags' defaults, environment and `stockfoil.toml` become one checked [`Config`]. The only reader of the
//! environment.
//!
//! Order: flags (applied by the binaries), environment, `.env` in the working folder, `stockfoil.toml`, defaults.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::{
    alert, backup, balance, history,
    mapping::{Mapping, file},
    migration::versioned,
    org_id::{OrgId, check_name},
    settings::{ConfigError, Environment, Secret, connection, nearest, value},
    tenancy,
};

/// Everything that a command may be told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The tables and columns that commands work on.
    pub mapping: Mapping,
    /// Organizations and their tables.
    pub tenancy: tenancy::Settings,
    /// Reconciliation.
    pub reconcile: balance::Settings,
    /// Who is told.
    pub alerts: alert::Settings,
    /// What is kept of what ran.
    pub history: history::Settings,
    /// Versioned files beside Stockfoil's own.
    pub migrations: versioned::Settings,
    /// Backups.
    pub backup: backup::Settings,
    environment: Environment,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    database: DatabaseFile,
    tenancy: file::Tenancy,
    ledger: file::Ledger,
    balances: file::Balances,
    reconcile: balance::Settings,
    alerts: alert::Settings,
    history: history::Settings,
    migrations: versioned::Settings,
    backup: backup::Settings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DatabaseFile {
    url: Option<Secret>,
}

/// Reads the process's environment, and below it `.env` in the working folder.
///
/// # Errors
/// When there is a `.env` that can't be read or parsed.
pub fn read_environment() -> Result<Environment, ConfigError> {
    let mut environment = Environment::default();
    let dotenv = Path::new(".env");
    if dotenv.exists() {
        let entries = dotenvy::from_path_iter(dotenv)
            .map_err(|error| ConfigError::Unreadable { path: dotenv.into(), reason: error.to_string() })?;
        for entry in entries {
            // The library's message repeats the line, which may hold a password.
            let (name, value) = entry.map_err(|_| ConfigError::File {
                path: dotenv.into(),
                reason: "a line does not parse; write NAME=value, with quotes around spaces".into(),
            })?;
            environment.set(&name, Secret::new(value));
        }
    }
    #[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
    let real = std::env::vars_os();
    for (name, value) in real {
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
            environment.set(&name, Secret::new(value));
        }
    }
    Ok(environment)
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
            tenancy: tenancy::Settings {
                default_org_id: mapping.default_org_id(file.tenancy.default_org_id.as_ref(), source)?,
                default_org_name: file
                    .tenancy
                    .default_org_name
                    .unwrap_or_else(|| "Default Organization".to_owned()),
                reserved_subdomains: file.tenancy.reserved_subdomains,
                hold_days: file.tenancy.hold_days.unwrap_or(tenancy::HOLD_DAYS),
            },
            mapping,
            reconcile: file.reconcile,
            alerts: file.alerts,
            history: file.history,
            migrations: file.migrations,
            backup: file.backup,
            environment,
        };
        config.alerts.resolve(&config.environment)?;
        config.backup.resolve(&config.environment);
        if let Some(id) = config.environment.get("DEFAULT_ORG_ID") {
            config.tenancy.default_org_id = id.to_owned();
        }
        if config.environment.get("DATABASE_URL").is_none()
            && let Some(url) = file.database.url
        {
            config.environment.set("DATABASE_URL", url);
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
        connection::check(environment)?;
        let Some(url) = environment.get("DATABASE_URL") else {
            return self.connect_options_from_variables();
        };
        Secret::new(url).database().map_err(ConfigError::Url)
    }

    /// What looking at backups needs.
    pub fn of_backups(&self) -> backup::Configured<'_> {
        let Self { mapping, tenancy, reconcile, alerts, history, backup, .. } = self;
        backup::Configured { backup, mapping, tenancy, reconcile, alerts, history }
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
        OrgId::of(self.mapping.org_type(), &self.tenancy.default_org_id)
            .map_err(|error| value("DEFAULT_ORG_ID", &error.to_string()))?;
        check_name(&self.tenancy.default_org_name)
            .map_err(|error| value("tenancy.default_org_name", &error.to_string()))?;
        self.reconcile.check()?;
        self.backup.check()
    }
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
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    pub(crate) fn load(text: &str, environment: Environment) -> Result<Config, ConfigError> {
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
