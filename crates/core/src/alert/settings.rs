//! `[alerts]`: who is told of what, how often, and how long that may take.

mod check;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::Severity;
use crate::settings::{ConfigError, Environment, Secret, duration};

/// Where PagerDuty takes events, unless another of its regions is configured.
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// The mail server that is asked when none is configured: this machine's own.
const SMTP_URL: &str = "smtp://localhost:25";

/// What a hook is given of the environment, beside the variables that its `env` names.
const HOOK_VARIABLES: [&str; 6] = ["HOME", "LANG", "LOGNAME", "PATH", "TZ", "USER"];

/// `[alerts]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What this installation is called in messages, where several share a channel.
    pub instance: Option<String>,
    /// A problem that stays open is told again after so many hours; 0: by every run.
    pub repeat_hours: u32,
    /// How long one attempt to reach a channel may take.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long all attempts of a run to reach one channel may take together.
    #[serde(deserialize_with = "duration")]
    pub give_up_after: Duration,
    /// The folder that remembers what was told where no database does; none: the user's own state folder.
    pub state_dir: Option<PathBuf>,
    /// Slack-compatible incoming webhooks.
    pub slack: Vec<Slack>,
    /// Webhooks that take our own JSON.
    pub webhook: Vec<Webhook>,
    /// PagerDuty services.
    pub pagerduty: Vec<PagerDuty>,
    /// Addresses that get mail.
    pub email: Vec<Email>,
    /// Programs that get our own JSON on standard input.
    pub command: Vec<Hook>,
    /// What is pinged at the end of each scheduled run.
    pub healthcheck: Healthchecks,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instance: None,
            repeat_hours: 24,
            timeout: Duration::from_secs(5),
            give_up_after: Duration::from_secs(30),
            state_dir: None,
            slack: Vec::new(),
            webhook: Vec::new(),
            pagerduty: Vec::new(),
            email: Vec::new(),
            command: Vec::new(),
            healthcheck: Healthchecks::default(),
        }
    }
}

/// What every channel has: a name, and the severities that it takes.
macro_rules! channel {
    ($(#[$meta:meta])* $name:ident, $kind:literal { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            /// What reports call it; its kind where nothing is said.
            pub name: String,
            /// Which severities it takes; both where nothing is said.
            pub severities: Vec<Severity>,
            $($fields)*
        }

        impl ChannelConfig for $name {
            const KIND: &'static str = $kind;

            fn name(&mut self) -> &mut String {
                &mut self.name
            }

            fn severities(&mut self) -> &mut Vec<Severity> {
                &mut self.severities
            }
        }
    };
}

channel! {
    /// `[[alerts.slack]]`.
    Slack, "slack" {
        /// The incoming webhook (`SLACK_WEBHOOK_URL`).
        pub webhook_url: Option<Secret>,
    }
}

channel! {
    /// `[[alerts.webhook]]`.
    Webhook, "webhook" {
        /// Where each message is posted to.
        pub url: Option<Secret>,
        /// What messages are signed with; none: they are not signed.
        pub secret: Option<Secret>,
        /// Further headers, such as `Authorization`.
        pub headers: BTreeMap<String, Secret>,
    }
}

channel! {
    /// `[[alerts.pagerduty]]`.
    PagerDuty, "pagerduty" {
        /// The integration key of the service (`PAGERDUTY_KEY`).
        pub key: Option<Secret>,
        /// Where events go, for another region than the United States.
        pub url: Option<Secret>,
    }
}

channel! {
    /// `[[alerts.email]]`.
    Email, "email" {
        /// Who gets the mail (`ALERT_EMAIL`, separated by commas).
        pub to: Vec<String>,
        /// Who it is from (`SMTP_FROM`); none: stockfoil at this machine.
        pub from: Option<String>,
        /// The mail server (`SMTP_URL`); none: this machine's own.
        pub smtp_url: Option<Secret>,
    }
}

channel! {
    /// `[[alerts.command]]`.
    Hook, "command" {
        /// The program, a path or a name that is looked for in PATH.
        pub program: PathBuf,
        /// Its arguments.
        pub args: Vec<String>,
        /// Which variables of the environment it gets beside the common ones.
        pub env: Vec<String>,
        /// Those variables with their values.
        #[serde(skip)]
        pub(crate) variables: BTreeMap<String, Secret>,
    }
}

/// `[alerts.healthcheck]`: what each scheduled command pings at its end.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Healthchecks {
    reconcile_balances: Option<Healthcheck>,
    monitor_backups: Option<Healthcheck>,
    verify_backup: Option<Healthcheck>,
    /// `HEALTHCHECK_URL`, which speaks for whichever command runs.
    #[serde(skip)]
    environment: Option<Healthcheck>,
}

/// What one command pings.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "HealthcheckForm")]
pub struct Healthcheck {
    /// What a run that ended with status 0 asks for.
    pub url: Secret,
    /// What any other run asks for.
    pub failure_url: Secret,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "neither a web address nor { url = ..., failure_url = ... }")]
enum HealthcheckForm {
    Url(Secret),
    Both { url: Secret, failure_url: Secret },
}

impl From<HealthcheckForm> for Healthcheck {
    fn from(form: HealthcheckForm) -> Self {
        match form {
            HealthcheckForm::Both { url, failure_url } => Self { url, failure_url },
            HealthcheckForm::Url(url) => {
                let (path, query) = match url.expose().split_once('?') {
                    Some((path, query)) => (path, format!("?{query}")),
                    None => (url.expose(), String::new()),
                };
                let failure_url = Secret::new(format!("{}/fail{query}", path.trim_end_matches('/')));
                Self { url, failure_url }
            }
        }
    }
}

impl Healthchecks {
    /// What `command` pings, if it pings anything.
    pub fn of(&self, command: &str) -> Option<&Healthcheck> {
        let configured = match command {
            "reconcile-balances" => &self.reconcile_balances,
            "monitor-backups" => &self.monitor_backups,
            "verify-backup" => &self.verify_backup,
            _ => return None,
        };
        self.environment.as_ref().or(configured.as_ref())
    }
}

trait ChannelConfig: Default {
    const KIND: &'static str;

    fn name(&mut self) -> &mut String;
    fn severities(&mut self) -> &mut Vec<Severity>;
}

impl Settings {
    /// Fills in what the environment says (it speaks for the first channel of its kind, and makes one where there is
    /// none), and the defaults; then checks the whole.
    pub(crate) fn resolve(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        if let Some(url) = environment.get("SLACK_WEBHOOK_URL") {
            first(&mut self.slack).webhook_url = Some(Secret::new(url));
        }
        if let Some(key) = environment.get("PAGERDUTY_KEY") {
            first(&mut self.pagerduty).key = Some(Secret::new(key));
        }
        if let Some(to) = environment.get("ALERT_EMAIL") {
            first(&mut self.email).to = to.split(',').map(|address| address.trim().to_owned()).collect();
        }
        for email in &mut self.email {
            if let Some(url) = environment.get("SMTP_URL") {
                email.smtp_url = Some(Secret::new(url));
            }
            if let Some(from) = environment.get("SMTP_FROM") {
                email.from = Some(from.to_owned());
            }
            email.smtp_url.get_or_insert_with(|| Secret::new(SMTP_URL));
        }
        for pagerduty in &mut self.pagerduty {
            pagerduty.url.get_or_insert_with(|| Secret::new(PAGERDUTY_URL));
        }
        for hook in &mut self.command {
            let names = HOOK_VARIABLES.into_iter().chain(hook.env.iter().map(String::as_str));
            let given = names.filter_map(|name| Some((name.to_owned(), Secret::new(environment.get(name)?))));
            hook.variables = given.collect();
        }
        if let Some(url) = environment.get("HEALTHCHECK_URL") {
            self.healthcheck.environment = Some(HealthcheckForm::Url(Secret::new(url)).into());
        }
        if self.state_dir.is_none() {
            // systemd's StateDirectory= (the first, where there are several), then the XDG base directories.
            let below = |name, rest: &str| {
                let folder = environment.get(name)?.split(':').next()?;
                Some(PathBuf::from(folder).join(rest))
            };
            self.state_dir = below("STATE_DIRECTORY", "")
                .or_else(|| below("XDG_STATE_HOME", "stockfoil"))
                .or_else(|| below("HOME", ".local/state/stockfoil"));
        }
        self.check()
    }
}

/// The first of `channels`, made where there is none.
fn first<C: Default>(channels: &mut Vec<C>) -> &mut C {
    if channels.is_empty() {
        channels.push(C::default());
    }
    &mut channels[0]
}
