//! Whether the settings of alerts hold together.

use std::{collections::BTreeSet, net::IpAddr};

use lettre::{AsyncSmtpTransport, Tokio1Executor, message::Mailbox};

use super::{ChannelConfig, Email, Healthchecks, Settings, Webhook};
use crate::{
    alert::{LOG, Severity},
    settings::{ConfigError, Secret, value},
};

impl Settings {
    /// Gives channels their defaults, and checks the whole.
    pub(super) fn check(&mut self) -> Result<(), ConfigError> {
        for (name, duration) in [("timeout", self.timeout), ("give_up_after", self.give_up_after)] {
            if duration.is_zero() {
                return Err(value(&format!("alerts.{name}"), "is zero; give a duration such as 5s"));
            }
        }
        if let Some(instance) = &self.instance {
            let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
            if instance.is_empty() || instance.len() > 64 || !instance.chars().all(is_plain) {
                let reason = format!("{instance:?} is no name; give 1 to 64 letters, digits, dots, _ or -");
                return Err(value("alerts.instance", &reason));
            }
        }
        let mut channels = Channels::default();
        channels.take(&mut self.slack)?;
        channels.take(&mut self.webhook)?;
        channels.take(&mut self.pagerduty)?;
        channels.take(&mut self.email)?;
        channels.take(&mut self.command)?;
        if !channels.names.is_empty() && !channels.severities.contains(&Severity::Critical) {
            return Err(value(
                "alerts",
                "no channel takes critical alerts; add \"critical\" to the severities of one",
            ));
        }
        self.check_channels()?;
        self.healthcheck.check()
    }

    fn check_channels(&self) -> Result<(), ConfigError> {
        for slack in &self.slack {
            let lacking = || lacks(&slack.name, "webhook_url", "or set SLACK_WEBHOOK_URL");
            check_url("SLACK_WEBHOOK_URL", slack.webhook_url.as_ref().ok_or_else(lacking)?)?;
        }
        for webhook in &self.webhook {
            let lacking = || lacks(&webhook.name, "url", "the address to post to");
            check_url(
                &format!("alerts.webhook {:?}, url", webhook.name),
                webhook.url.as_ref().ok_or_else(lacking)?,
            )?;
            check_headers(webhook)?;
        }
        for pagerduty in &self.pagerduty {
            let lacking = || lacks(&pagerduty.name, "key", "or set PAGERDUTY_KEY");
            let key = pagerduty.key.as_ref().ok_or_else(lacking)?.expose();
            if key.trim() != key || key.is_empty() || key.contains(char::is_control) {
                let reason = "not an integration key (its text is withheld); copy it from the service's Events API v2 integration";
                return Err(value("PAGERDUTY_KEY", reason));
            }
            if let Some(url) = &pagerduty.url {
                check_url(&format!("alerts.pagerduty {:?}, url", pagerduty.name), url)?;
            }
        }
        for email in &self.email {
            check_email(email)?;
        }
        for hook in &self.command {
            if hook.program.as_os_str().is_empty() {
                return Err(lacks(&hook.name, "program", "the program to run"));
            }
        }
        Ok(())
    }
}

impl Healthchecks {
    fn check(&self) -> Result<(), ConfigError> {
        for (name, healthcheck) in [
            ("HEALTHCHECK_URL", &self.environment),
            ("alerts.healthcheck.reconcile-balances", &self.reconcile_balances),
            ("alerts.healthcheck.monitor-backups", &self.monitor_backups),
            ("alerts.healthcheck.verify-backup", &self.verify_backup),
        ] {
            let urls = healthcheck.iter().flat_map(|check| [&check.url, &check.failure_url]);
            for url in urls {
                check_url(name, url)?;
            }
        }
        Ok(())
    }
}

/// The channels' names and what they take together.
#[derive(Default)]
struct Channels {
    names: BTreeSet<String>,
    severities: BTreeSet<Severity>,
}

impl Channels {
    /// Gives the channels of one kind their defaults, and refuses a name that two of them have.
    fn take<C: ChannelConfig>(&mut self, channels: &mut [C]) -> Result<(), ConfigError> {
        for channel in channels {
            if channel.name().is_empty() {
                C::KIND.clone_into(channel.name());
            }
            if channel.severities().is_empty() {
                *channel.severities() = vec![Severity::Warning, Severity::Critical];
            }
            self.severities.extend(channel.severities().iter().copied());
            let name = channel.name().clone();
            if name == LOG {
                return Err(value("alerts", "the name \"log\" is the log's own; give the channel another"));
            }
            if self.names.contains(&name) {
                let reason = format!("two channels are named {name:?}; give each its own name");
                return Err(value("alerts", &reason));
            }
            self.names.insert(name);
        }
        Ok(())
    }
}

fn lacks(channel: &str, key: &str, remedy: &str) -> ConfigError {
    value("alerts", &format!("the channel {channel:?} has no {key}; give it one ({remedy})"))
}

fn check_url(name: &str, url: &Secret) -> Result<(), ConfigError> {
    if is_web_url(url.expose()) {
        return Ok(());
    }
    let reason = "not a web address (its text is withheld); write https://host/path as the service shows it";
    Err(value(name, reason))
}

/// Whether `text` is an absolute http or https URL with a host.
fn is_web_url(text: &str) -> bool {
    text.parse::<ureq::http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}

fn check_headers(webhook: &Webhook) -> Result<(), ConfigError> {
    use ureq::http::{HeaderName, HeaderValue};
    for (name, text) in &webhook.headers {
        let place = format!("alerts.webhook {:?}, headers", webhook.name);
        if name.parse::<HeaderName>().is_err() {
            return Err(value(&place, &format!("{name:?} is not a header's name")));
        }
        if text.expose().parse::<HeaderValue>().is_err() {
            return Err(value(
                &place,
                &format!("the value of {name} (its text is withheld) can't be in a header"),
            ));
        }
    }
    Ok(())
}

fn check_email(email: &Email) -> Result<(), ConfigError> {
    if email.to.is_empty() {
        return Err(lacks(&email.name, "to", "or set ALERT_EMAIL"));
    }
    let place = |key: &str| format!("alerts.email {:?}, {key}", email.name);
    for (key, address) in
        email.to.iter().map(|to| ("to", to)).chain(email.from.iter().map(|from| ("from", from)))
    {
        if !is_address(address) {
            let reason = format!("{address:?} is not a mail address; write it like operations@example.com");
            return Err(value(&place(key), &reason));
        }
    }
    let Some(url) = &email.smtp_url else { return Ok(()) };
    let refuse = |reason: &str| {
        Err(value(
            "SMTP_URL",
            &format!(
                "{reason} (its text is withheld); write smtps://user:password@host, smtp://user:password@host:587?tls=required or smtp://localhost"
            ),
        ))
    };
    if !is_server(url) {
        return refuse("not a mail server's address");
    }
    // It parses, so it has a scheme; what stands before the host are credentials.
    let (scheme, rest) = url.expose().split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let is_plain = scheme == "smtp" && !rest.contains("tls=required");
    match authority.rsplit_once('@') {
        Some((_, host)) if is_plain && !is_this_machine(host) => {
            refuse("would send the password in the clear to another machine")
        }
        _ => Ok(()),
    }
}

/// Whether `host`, perhaps with a port, is a name or an address of the loopback interface.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether `text` is a mail address, perhaps with a name before it.
fn is_address(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

/// Whether `url` names a mail server.
fn is_server(url: &Secret) -> bool {
    AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::load;
    use crate::{
        alert::settings::{PAGERDUTY_URL, SMTP_URL},
        settings::Environment,
    };

    fn alerts(text: &str, environment: Environment) -> Settings {
        load(text, environment).unwrap().alerts
    }

    #[test]
    fn the_environment_alone_gives_channels() {
        let environment = Environment::of([
            ("SLACK_WEBHOOK_URL", "https://hooks.example.com/s3cret"),
            ("PAGERDUTY_KEY", "s3cret"),
            ("ALERT_EMAIL", "a@example.com, B <b@example.com>"),
            ("HEALTHCHECK_URL", "https://hc.example.com/s3cret?x=y"),
        ]);
        let config = alerts("", environment);
        assert_eq!((config.slack[0].name.as_str(), config.slack.len()), ("slack", 1));
        assert_eq!(config.slack[0].severities, [Severity::Warning, Severity::Critical]);
        assert_eq!(config.pagerduty[0].url.as_ref().unwrap().expose(), PAGERDUTY_URL);
        assert_eq!(config.email[0].to, ["a@example.com", "B <b@example.com>"]);
        assert_eq!(config.email[0].smtp_url.as_ref().unwrap().expose(), SMTP_URL);
        let ping = config.healthcheck.of("monitor-backups").unwrap();
        assert_eq!(ping.failure_url.expose(), "https://hc.example.com/s3cret/fail?x=y");
        assert!(config.healthcheck.of("org-list").is_none());
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn the_environment_wins_over_the_files_first_channel() {
        let text = "[[alerts.pagerduty]]\nname = 'eu'\nkey = 'file'\nurl = 'https://events.eu.pagerduty.com/v2/enqueue'\n
                    [[alerts.pagerduty]]\nname = 'us'\nkey = 'other'\nseverities = ['critical']\n
                    [alerts.healthcheck]\nverify-backup = { url = 'https://a.example.com/?up', failure_url = 'https://a.example.com/?down' }\n";
        let config = alerts(text, Environment::of([("PAGERDUTY_KEY", "environment")]));
        let keys: Vec<&str> =
            config.pagerduty.iter().map(|channel| channel.key.as_ref().unwrap().expose()).collect();
        assert_eq!(keys, ["environment", "other"]);
        assert!(config.pagerduty[0].url.as_ref().unwrap().expose().contains("events.eu."));
        assert!(config.healthcheck.of("monitor-backups").is_none());
        assert!(config.healthcheck.of("verify-backup").unwrap().failure_url.expose().ends_with("?down"));
    }

    #[test]
    fn the_state_folder_is_the_nearest_that_is_said() {
        let folder = |text, environment| alerts(text, environment).state_dir;
        let home = ("HOME", "/home/me");
        assert_eq!(folder("", Environment::default()), None);
        assert_eq!(folder("", Environment::of([home])), Some("/home/me/.local/state/stockfoil".into()));
        let xdg = Environment::of([home, ("XDG_STATE_HOME", "/state")]);
        assert_eq!(folder("", xdg.clone()), Some("/state/stockfoil".into()));
        assert_eq!(
            folder("", Environment::of([home, ("STATE_DIRECTORY", "/var/lib/s")])),
            Some("/var/lib/s".into())
        );
        assert_eq!(folder("[alerts]\nstate_dir = '/mine'\n", xdg), Some("/mine".into()));
    }

    #[test]
    fn a_hook_gets_what_it_is_said_to_get() {
        let environment =
            Environment::of([("PATH", "/bin"), ("TOKEN", "t"), ("DATABASE_URL", "postgres://s3cret@h/d")]);
        let config = alerts("[[alerts.command]]\nprogram = 'hook'\nenv = ['TOKEN', 'ABSENT']\n", environment);
        assert_eq!(config.command[0].variables.keys().collect::<Vec<_>>(), ["PATH", "TOKEN"]);
    }

    /// That each text is refused with the words beside it, and without the secret in it.
    fn refuse(texts: &[(&str, &str)]) {
        for (text, said) in texts {
            let error = load(text, Environment::default()).unwrap_err();
            assert!(error.to_string().contains(said), "{error}\nwithout: {said}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn what_does_not_hold_is_said_and_never_repeated() {
        refuse(&[
            ("[alerts]\nrepeat_hour = 1\n", "did you mean `repeat_hours`?"),
            ("[alerts]\ntimeout = '0s'\n", "alerts.timeout: is zero"),
            ("[alerts]\ngive_up_after = '0s'\n", "alerts.give_up_after: is zero"),
            ("[alerts]\ninstance = 'a b'\n", "alerts.instance: \"a b\" is no name"),
            ("[[alerts.slack]]\nwebhok_url = ''\n", "did you mean `webhook_url`?"),
            (
                "[[alerts.slack]]\n",
                "the channel \"slack\" has no webhook_url; give it one (or set SLACK_WEBHOOK_URL)",
            ),
            ("[[alerts.slack]]\nwebhook_url = 's3cret'\n", "SLACK_WEBHOOK_URL: not a web address"),
            (
                "[[alerts.slack]]\nseverities = ['bad']\n",
                "unknown variant `bad`, expected `warning` or `critical`",
            ),
            (
                "[[alerts.webhook]]\nname = 'w'\nurl = 'ftp://s3cret'\n",
                "alerts.webhook \"w\", url: not a web address",
            ),
            (
                "[[alerts.webhook]]\nurl = 'http://h/'\nheaders = { 'a b' = 'c' }\n",
                "\"a b\" is not a header's name",
            ),
            (
                "[[alerts.webhook]]\nurl = 'http://h/'\nheaders = { A = \"s3cret\\n\" }\n",
                "the value of A (its text is withheld)",
            ),
            ("[[alerts.webhook]]\nname = 'log'\nurl = 'http://h/'\n", "the name \"log\" is the log's own"),
            ("[[alerts.pagerduty]]\nkey = 's3cret '\n", "PAGERDUTY_KEY: not an integration key"),
            ("[[alerts.command]]\n", "the channel \"command\" has no program"),
            (
                "[[alerts.command]]\nprogram = 'p'\nseverities = ['warning']\n",
                "no channel takes critical alerts",
            ),
            (
                "[[alerts.command]]\nprogram = 'p'\n[[alerts.command]]\nprogram = 'q'\n",
                "two channels are named \"command\"",
            ),
            ("[alerts.healthcheck]\nverify-backups = 'http://h/'\n", "did you mean `verify-backup`?"),
            (
                "[alerts.healthcheck]\nverify-backup = 's3cret'\n",
                "alerts.healthcheck.verify-backup: not a web address",
            ),
        ]);
    }

    #[test]
    fn what_does_not_hold_of_mail_is_said_and_never_repeated() {
        refuse(&[
            ("[[alerts.email]]\n", "the channel \"email\" has no to; give it one (or set ALERT_EMAIL)"),
            ("[[alerts.email]]\nto = ['x']\n", "alerts.email \"email\", to: \"x\" is not a mail address"),
            ("[[alerts.email]]\nto = ['a@b.c']\nfrom = 'x'\n", "alerts.email \"email\", from: \"x\" is not"),
            (
                "[[alerts.email]]\nto = ['a@b.c']\nsmtp_url = 'http://s3cret'\n",
                "SMTP_URL: not a mail server's address",
            ),
            (
                "[[alerts.email]]\nto = ['a@b.c']\nsmtp_url = 'smtp://u:s3cret@h'\n",
                "would send the password in the clear",
            ),
            (
                "[[alerts.email]]\nto = ['a@b.c']\nsmtp_url = 'smtp://u:s3cret@h?tls=opportunistic'\n",
                "in the clear",
            ),
        ]);
    }

    #[test]
    fn a_password_goes_to_a_mail_server_encrypted_or_to_this_machine() {
        for url in [
            "smtp://u:p@localhost:2525",
            "smtp://u:p@[::1]",
            "smtp://h",
            "smtps://u:p@h",
            "smtp://u:p@h:587?tls=required",
        ] {
            alerts(
                &format!("[[alerts.email]]\nto = ['a@b.c']\nsmtp_url = '{url}'\n"),
                Environment::default(),
            );
        }
    }
}
