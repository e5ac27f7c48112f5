//! PagerDuty's Events API v2: a problem triggers an alert, its recovery resolves it.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::settings;
use super::{Attempt, Channel, Event, Message, delivery::Refusal, http};
use crate::settings::Secret;

/// The service refuses a longer summary.
const SUMMARY_CHARS_MAX: usize = 1024;

/// The service refuses a longer key.
const DEDUP_KEY_CHARS_MAX: usize = 255;

pub(super) struct PagerDuty<'a>(pub(super) &'a settings::PagerDuty);

impl Channel for PagerDuty<'_> {
    fn attempt<'a>(&'a self, message: &'a Message<'a>, timeout: Duration) -> Attempt<'a> {
        Box::pin(async move {
            let (Some(url), Some(key)) = (&self.0.url, &self.0.key) else {
                return Err(Refusal::lasting("has no key"));
            };
            http::post(url, Vec::new(), event(key, message).to_string(), timeout).await
        })
    }
}

fn event(key: &Secret, message: &Message<'_>) -> Value {
    let alert = message.alert;
    let dedup_key = dedup_key(message);
    match message.event {
        Event::Recovery => {
            json!({ "routing_key": key.expose(), "event_action": "resolve", "dedup_key": dedup_key })
        }
        Event::Problem => json!({
            "routing_key": key.expose(),
            "event_action": "trigger",
            "dedup_key": dedup_key,
            "client": "Stockfoil",
            "payload": {
                "summary": message.headline().chars().take(SUMMARY_CHARS_MAX).collect::<String>(),
                "source": message.instance.unwrap_or(message.host),
                "severity": alert.severity,
                "timestamp": message.sent_at,
                "component": alert.key,
                "class": alert.source,
                "custom_details": {
                    "details": alert.details,
                    "opened_at": message.opened_at,
                    "run_id": alert.run_id,
                    "host": message.host,
                },
            },
        }),
    }
}

/// Names the problem, the same on every host that may see it.
fn dedup_key(message: &Message<'_>) -> String {
    let parts = [message.instance.unwrap_or("stockfoil"), message.alert.source, &message.alert.key];
    let name = parts.join("/");
    if name.chars().count() <= DEDUP_KEY_CHARS_MAX { name } else { hex::encode(Sha256::digest(name)) }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Severity,
            tests::{alert, message},
        },
        *,
    };

    #[test]
    fn a_recovery_resolves_what_the_problem_triggered() {
        let mut alert = alert(Severity::Warning, "backup/nightly");
        alert.summary = "s".repeat(2000);
        let key = Secret::new("r0uting");
        let trigger = event(&key, &message(&alert, Event::Problem, false));
        assert_eq!(
            (&trigger["event_action"], &trigger["routing_key"]),
            (&json!("trigger"), &json!("r0uting"))
        );
        assert_eq!(trigger["payload"]["severity"], "warning");
        assert_eq!(trigger["payload"]["summary"].as_str().unwrap().len(), SUMMARY_CHARS_MAX);
        let resolve = event(&key, &message(&alert, Event::Recovery, false));
        assert_eq!(resolve["event_action"], "resolve");
        assert_eq!(resolve["dedup_key"], "stockfoil/test/backup/nightly");
        assert_eq!(resolve["dedup_key"], trigger["dedup_key"]);
        alert.key = "ö".repeat(300);
        assert_eq!(dedup_key(&message(&alert, Event::Problem, false)).len(), 64);
    }
}
