//! Slack's incoming webhooks, which Mattermost, Rocket.Chat and Discord (`/slack`) understand as well.

use std::time::Duration;

use serde_json::json;

use super::{Alert, Delivery, Severity, http};
use crate::config::Secret;

/// Slack cuts a text at 4,000 characters in places; what is longer is for the log.
const TEXT_CHARS_MAX: usize = 3_000;

/// Attempts for an alert as long as the webhook answers.
const ATTEMPTS: u32 = 3;

#[derive(Debug)]
pub(super) struct Slack<'a> {
    url: &'a Secret,
    timeout: Duration,
    attempts: u32,
}

impl<'a> Slack<'a> {
    pub(super) fn new(url: &'a Secret, timeout: Duration) -> Self {
        Self { url, timeout, attempts: ATTEMPTS }
    }

    pub(super) async fn send(&mut self, alert: &Alert) -> Delivery {
        let body = json!({ "text": text(alert) }).to_string();
        let result = http::post_json(self.url, body, self.timeout, self.attempts).await;
        self.attempts = if result.is_ok() { ATTEMPTS } else { 1 };
        Delivery { channel: "slack", error: result.err().map(|error| error.to_string()) }
    }
}

fn text(alert: &Alert) -> String {
    let mark = match alert.severity {
        Severity::Critical => ":red_circle: *critical*",
        Severity::Warning => ":warning: *warning*",
    };
    let mut text = format!("{mark} {}: {}", alert.source, escape(&alert.summary));
    for detail in &alert.details {
        text.push_str("\n• ");
        text.push_str(&escape(detail));
    }
    if let Some(run) = alert.run_id {
        text.push_str(&format!("\nrun {run}"));
    }
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{} …", &text[..end]),
    }
}

/// The three characters that Slack's format gives a meaning: a `<!channel>` in a file's name calls nobody.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_escaped_and_bounded() {
        let mut alert = Alert {
            source: "test",
            severity: Severity::Critical,
            key: "k".into(),
            summary: "<!channel> & co".into(),
            details: vec!["one".into()],
            run_id: Some(7),
        };
        assert_eq!(text(&alert), ":red_circle: *critical* test: &lt;!channel&gt; &amp; co\n• one\nrun 7");
        alert.details = vec!["ä".repeat(5_000)];
        assert_eq!(text(&alert).chars().count(), TEXT_CHARS_MAX + 2);
    }
}
