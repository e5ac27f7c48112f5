//! Telling people: one [`Alert`], sent through every channel that takes its severity.
//!
//! A problem that stays open is sent once and then every `repeat_hours`, to each channel by itself; when a run that
//! looked for it no longer sees it, each channel that was told gets a recovery. What was told is remembered in
//! `stockfoil.alert_state`, or in a file where no database takes it.
//!
//! The log is always a channel, and repeats itself. A remote channel that fails is tried again, for a bounded time,
//! then reported; the caller prints its result first and then asks [`Deliveries::require`], which is an error when a
//! critical alert reached no remote channel although one is configured.

mod answers;
mod delivery;
mod email;
mod healthcheck;
mod hook;
mod http;
mod log;
mod message;
mod pagerduty;
mod settings;
mod slack;
mod state;
mod webhook;

pub use self::log::NAME as LOG;
pub use answers::{AlertError, Answer, Deliveries, Delivery, Sent};
pub use healthcheck::{PingError, ping};
pub(crate) use http::trust;
pub use message::{Alert, Event, Severity};
pub use settings::Settings;
pub(crate) use state::{Open, open};

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};

use crate::db::Db;
use delivery::{Attempt, Patience};
use message::{Message, one_line};
use state::{Store, Told};

/// What one run has to tell.
pub struct Round<'a> {
    /// The command.
    pub source: &'static str,
    /// The problems that it found.
    pub alerts: &'a [Alert],
    /// Whether it looked at what a key names, and would have found the problem again if it were still there. A problem
    /// that nobody looked for is not over.
    pub looked_at: &'a (dyn Fn(&str) -> bool + Send + Sync),
    /// What to add to the message that the problem of a key is over.
    pub on_end: &'a (dyn Fn(&str) -> Vec<String> + Send + Sync),
    /// The run in `stockfoil.run`, where one is recorded.
    pub run_id: Option<i64>,
}

/// A way to reach somebody.
trait Channel: Send + Sync {
    /// Tries once to deliver `message`, for at most `timeout`; nothing goes on behind the future when it is dropped.
    fn attempt<'a>(&'a self, message: &'a Message<'a>, timeout: Duration) -> Attempt<'a>;
}

/// A configured channel.
struct Line<'a> {
    name: &'a str,
    severities: &'a [Severity],
    channel: Box<dyn Channel + 'a>,
}

impl Line<'_> {
    fn takes(&self, alert: &Alert) -> bool {
        self.severities.contains(&alert.severity)
    }
}

fn lines(config: &Settings) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    macro_rules! add {
        ($($kind:ident => $channel:path),* $(,)?) => {
            $(for entry in &config.$kind {
                let channel = Box::new($channel(entry));
                lines.push(Line { name: &entry.name, severities: &entry.severities, channel });
            })*
        };
    }
    add! {
        pagerduty => pagerduty::PagerDuty,
        slack => slack::Slack,
        webhook => webhook::Webhook,
        email => email::Email,
        command => hook::Hook,
    }
    lines
}

/// What the messages of a run have in common.
struct Common<'a> {
    config: &'a Settings,
    round: &'a Round<'a>,
    /// What was told and is not over, by key and channel.
    told: BTreeMap<(String, String), Told>,
    host: String,
    now: DateTime<Utc>,
}

/// What one channel was told, and what is to be remembered of it.
struct Spoken {
    /// By the alert's place in the round.
    problems: BTreeMap<usize, Delivery>,
    /// By key.
    recoveries: BTreeMap<String, (Alert, Delivery)>,
    remember: Vec<Told>,
    forget: Vec<String>,
}

/// Sends what a run has to tell through every channel of `config`.
///
/// It never fails as a whole; ask [`Deliveries::require`] when the result is printed. The time is bounded: each
/// attempt by `timeout`, and all attempts of a channel together by `give_up_after`; channels don't wait for each other.
pub fn send<'a>(
    config: &'a Settings,
    db: Option<&'a Db>,
    round: Round<'a>,
) -> Pin<Box<dyn Future<Output = Deliveries> + Send + 'a>> {
    Box::pin(async move {
        let (mut store, told) = Store::open(config, db, round.source).await;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let common = Common { config, round: &round, told, host, now: Utc::now() };
        for alert in round.alerts {
            log::problem(alert);
        }
        let lines = lines(config);
        let mut spoken = vec![common.speak(LOG, |_| true, None).await];
        spoken.extend(join_all(lines.iter().map(|line| common.speak_through(line))).await);

        // What a channel was told that is configured no more, nobody will be told again.
        let known: BTreeSet<&str> = lines.iter().map(|line| line.name).chain([LOG]).collect();
        let mut forget: Vec<(String, String)> = common
            .over()
            .filter(|told| !known.contains(told.channel.as_str()))
            .map(|told| (told.key.clone(), told.channel.clone()))
            .collect();
        let names = || [LOG].into_iter().chain(lines.iter().map(|line| line.name));
        for (name, spoken) in names().zip(&spoken) {
            forget.extend(spoken.forget.iter().map(|key| (key.clone(), name.to_owned())));
        }
        let remember: Vec<Told> = spoken.iter_mut().flat_map(|spoken| spoken.remember.drain(..)).collect();
        store.save(&remember, &forget).await;
        common.deliveries(spoken)
    })
}

impl Common<'_> {
    /// What was told before and this run, which looked for it, no longer sees.
    fn over(&self) -> impl Iterator<Item = &Told> {
        let is_open = |key: &str| self.round.alerts.iter().any(|alert| alert.key == key);
        self.told.values().filter(move |told| (self.round.looked_at)(&told.key) && !is_open(&told.key))
    }

    /// What the channel `name` was told that became less severe than what it takes: over, for this channel.
    fn eased<'a>(
        &'a self,
        name: &'a str,
        takes: &'a impl Fn(&Alert) -> bool,
    ) -> impl Iterator<Item = (&'a Told, Vec<String>)> {
        self.round.alerts.iter().filter(|alert| !takes(alert)).filter_map(|alert| {
            let told = self.told.get(&(alert.key.clone(), name.to_owned()))?;
            let details = vec![format!("it is now a {}", alert.severity.as_str())];
            (alert.severity < told.severity).then_some((told, details))
        })
    }

    fn recovery(&self, told: &Told, details: Vec<String>) -> Alert {
        Alert {
            source: self.round.source,
            severity: told.severity,
            key: told.key.clone(),
            summary: told.summary.clone(),
            details,
            run_id: self.round.run_id,
        }
    }

    async fn speak_through(&self, line: &Line<'_>) -> Spoken {
        let patience = Patience::new(self.config.timeout, self.config.give_up_after);
        self.speak(line.name, |alert| line.takes(alert), Some((line.channel.as_ref(), patience))).await
    }

    /// Tells the channel `name` what it has to know, the most urgent first.
    async fn speak(
        &self,
        name: &str,
        takes: impl Fn(&Alert) -> bool,
        mut remote: Option<(&dyn Channel, Patience)>,
    ) -> Spoken {
        let mut spoken = Spoken {
            problems: BTreeMap::new(),
            recoveries: BTreeMap::new(),
            remember: Vec::new(),
            forget: Vec::new(),
        };
        let mut order: Vec<(usize, &Alert)> =
            self.round.alerts.iter().enumerate().filter(|(_, alert)| takes(alert)).collect();
        order.sort_by_key(|(_, alert)| std::cmp::Reverse(alert.severity));
        for (place, alert) in order {
            let before = self.told.get(&(alert.key.clone(), name.to_owned()));
            let is_due = remote.is_none() || before.is_none_or(|before| self.is_due(alert, before));
            let delivery = if is_due {
                let message =
                    self.message(Event::Problem, alert, self.opened_at(&alert.key), before.is_some());
                deliver(name, &mut remote, &message).await
            } else {
                Delivery::told_before(name)
            };
            if delivery.answer == Answer::Sent {
                spoken.remember.push(self.told(alert, name));
            }
            spoken.problems.insert(place, delivery);
        }
        let over = self.over().filter(|told| told.channel == name);
        let over = over.map(|told| (told, (self.round.on_end)(&told.key)));
        for (told, details) in over.chain(self.eased(name, &takes)) {
            let alert = self.recovery(told, details);
            if remote.is_none() {
                log::recovery(&alert);
            }
            let message = self.message(Event::Recovery, &alert, told.opened_at, false);
            let delivery = deliver(name, &mut remote, &message).await;
            if delivery.answer == Answer::Sent {
                spoken.forget.push(told.key.clone());
            }
            spoken.recoveries.insert(told.key.clone(), (alert, delivery));
        }
        spoken
    }

    /// Whether `alert` is to be told again to a channel that was told of it `before`.
    fn is_due(&self, alert: &Alert, before: &Told) -> bool {
        let repeat = TimeDelta::hours(i64::from(self.config.repeat_hours));
        // A nightly run is not always of the same length: one that ends a little earlier than the last is not too early.
        let grace = (repeat / 20).min(TimeDelta::minutes(30));
        // A time in the future is another clock's, and no reason to be silent for ever.
        alert.severity > before.severity || (self.now - before.last_sent_at).abs() >= repeat - grace
    }

    /// When the problem `key` was told first, to any channel.
    fn opened_at(&self, key: &str) -> DateTime<Utc> {
        let times = self.told.values().filter(|told| told.key == key).map(|told| told.opened_at);
        times.min().unwrap_or(self.now)
    }

    fn told(&self, alert: &Alert, channel: &str) -> Told {
        Told {
            key: alert.key.clone(),
            channel: channel.to_owned(),
            severity: alert.severity,
            summary: alert.summary.clone(),
            opened_at: self.opened_at(&alert.key),
            last_sent_at: self.now,
        }
    }

    fn message<'a>(
        &'a self,
        event: Event,
        alert: &'a Alert,
        opened_at: DateTime<Utc>,
        is_repeat: bool,
    ) -> Message<'a> {
        let sent_at = self.now.to_rfc3339();
        let name = serde_json::json!([alert.source, alert.key, event, sent_at]).to_string();
        Message {
            schema: "stockfoil.alert/1",
            id: hex::encode(&Sha256::digest(name)[..16]),
            event,
            sent_at: self.now,
            opened_at,
            is_repeat,
            instance: self.config.instance.as_deref(),
            host: &self.host,
            alert,
        }
    }

    /// Puts together what every channel did with each message.
    fn deliveries(&self, spoken: Vec<Spoken>) -> Deliveries {
        let mut sent: Vec<Sent> = self
            .round
            .alerts
            .iter()
            .map(|alert| Sent { event: Event::Problem, alert: alert.clone(), channels: Vec::new() })
            .collect();
        let mut recoveries: BTreeMap<String, Sent> = BTreeMap::new();
        for Spoken { problems, recoveries: over, .. } in spoken {
            for (place, delivery) in problems {
                sent[place].channels.push(delivery);
            }
            for (key, (alert, delivery)) in over {
                let recovery = recoveries.entry(key).or_insert_with(|| Sent {
                    event: Event::Recovery,
                    alert,
                    channels: Vec::new(),
                });
                recovery.channels.push(delivery);
            }
        }
        sent.extend(recoveries.into_values());
        Deliveries(sent)
    }
}

/// Delivers `message`; to the log it is delivered already.
async fn deliver(
    name: &str,
    remote: &mut Option<(&dyn Channel, Patience)>,
    message: &Message<'_>,
) -> Delivery {
    let Some((channel, patience)) = remote else { return Delivery::sent(name) };
    match patience.persist(|timeout| channel.attempt(message, timeout)).await {
        Ok(()) => Delivery::sent(name),
        Err(refusal) => Delivery::failed(name, &refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn alert(severity: Severity, key: &str) -> Alert {
        Alert {
            source: "test",
            severity,
            key: key.to_owned(),
            summary: "s".to_owned(),
            details: Vec::new(),
            run_id: None,
        }
    }

    /// A message of 2026-02-01 about a problem of the night before.
    pub(super) fn message(alert: &Alert, event: Event, is_repeat: bool) -> Message<'_> {
        let at = |text: &str| text.parse().unwrap();
        Message {
            schema: "stockfoil.alert/1",
            id: "id".into(),
            event,
            sent_at: at("2026-02-01T02:00:00Z"),
            opened_at: at("2026-01-31T02:00:00Z"),
            is_repeat,
            instance: None,
            host: "h",
            alert,
        }
    }

    fn deliveries(severity: Severity, channels: &[(&str, Option<&str>)]) -> Deliveries {
        let delivery = |&(channel, error): &(&str, Option<&str>)| match error {
            None => Delivery::sent(channel),
            Some(error) => Delivery::failed(channel, &delivery::Refusal::lasting(error)),
        };
        let channels = channels.iter().map(delivery).collect();
        Deliveries(vec![Sent { event: Event::Problem, alert: alert(severity, "k"), channels }])
    }

    #[test]
    fn a_critical_alert_must_reach_a_remote_channel_where_there_is_one() {
        use Severity::{Critical, Warning};
        let (log, down) = (("log", None), ("slack", Some("no answer")));
        assert!(deliveries(Critical, &[log]).require().is_ok());
        assert!(deliveries(Critical, &[log, ("slack", None)]).require().is_ok());
        assert!(deliveries(Critical, &[log, down, ("email", None)]).require().is_ok());
        assert!(deliveries(Warning, &[log, down]).require().is_ok());
        let error = deliveries(Critical, &[log, down]).require().unwrap_err().to_string();
        assert!(error.contains("reached nobody: slack no answer"), "{error}");
        let mut told = deliveries(Critical, &[log, down]);
        told.0[0].channels.push(Delivery::told_before("email"));
        assert!(told.require().is_ok());
        told.0[0].channels.pop();
        told.0[0].event = Event::Recovery;
        assert!(told.require().is_ok());
    }

    #[test]
    fn a_problem_is_due_after_the_repeat_or_when_it_got_worse() {
        let round = Round {
            source: "test",
            alerts: &[],
            looked_at: &|_| true,
            on_end: &|_| Vec::new(),
            run_id: None,
        };
        let mut config = Settings::default();
        let now: DateTime<Utc> = "2026-02-01T02:00:00Z".parse().unwrap();
        let is_due = |config: &Settings, before: Severity, severity, minutes_ago| {
            let common = Common { config, round: &round, told: BTreeMap::new(), host: String::new(), now };
            let told = Told {
                key: "k".into(),
                channel: "c".into(),
                severity: before,
                summary: "s".into(),
                opened_at: now,
                last_sent_at: now - TimeDelta::minutes(minutes_ago),
            };
            common.is_due(&alert(severity, "k"), &told)
        };
        use Severity::{Critical, Warning};
        let day = 24 * 60;
        assert!(!is_due(&config, Critical, Critical, 0));
        assert!(!is_due(&config, Critical, Critical, day - 31));
        // A nightly run that is a little shorter than the last one is not a day too early.
        assert!(is_due(&config, Critical, Critical, day - 30));
        assert!(is_due(&config, Warning, Critical, 1));
        assert!(!is_due(&config, Critical, Warning, 1));
        assert!(is_due(&config, Critical, Critical, -2 * day));
        config.repeat_hours = 1;
        assert!(!is_due(&config, Critical, Critical, 56) && is_due(&config, Critical, Critical, 57));
        config.repeat_hours = 0;
        assert!(is_due(&config, Critical, Critical, 0));
    }
}
