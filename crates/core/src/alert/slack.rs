//! Slack's incoming webhooks, which Mattermost, Rocket.Chat and Discord (`/slack`) understand as well.

use std::time::Duration;

use serde_json::json;

use super::settings;
use super::{Attempt, Channel, Event, Message, Severity, delivery::Refusal, http};

/// Slack cuts a text at 4,000 characters in places; what is longer is for the log.
const TEXT_CHARS_MAX: usize = 3_000;

pub(super) struct Slack<'a>(pub(super) &'a settings::Slack);

impl Channel for Slack<'_> {
    fn attempt<'a>(&'a self, message: &'a Message<'a>, timeout: Duration) -> Attempt<'a> {
        Box::pin(async move {
            let Some(url) = &self.0.webhook_url else { return Err(Refusal::lasting("has no webhook_url")) };
            http::post(url, Vec::new(), json!({ "text": text(message) }).to_string(), timeout).await
        })
    }
}

fn text(message: &Message<'_>) -> String {
    let mark = match (message.event, message.alert.severity) {
        (Event::Recovery, _) => ":large_green_circle:",
        (Event::Problem, Severity::Critical) => ":red_circle:",
        (Event::Problem, Severity::Warning) => ":warning:",
    };
    let mut text = format!("{mark} *{}* {}", message.state(), escape(&message.headline()));
    for line in message.lines() {
        text.push_str("\n• ");
        text.push_str(&escape(&line));
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
    use super::{super::tests::message, *};

    #[test]
    fn a_text_is_escaped_and_bounded() {
        let mut alert = super::super::tests::alert(Severity::Critical, "k");
        alert.summary = "<!channel> & co\nnext".into();
        alert.details = vec!["one".into()];
        let said = "test: &lt;!channel&gt; &amp; co next\n• one\n";
        assert_eq!(
            text(&message(&alert, Event::Problem, false)),
            format!(":red_circle: *critical* {said}• on h")
        );
        let since = "• open since 2026-01-31 02:00 UTC\n• on h";
        assert_eq!(
            text(&message(&alert, Event::Problem, true)),
            format!(":red_circle: *still critical* {said}{since}")
        );
        assert_eq!(
            text(&message(&alert, Event::Recovery, false)),
            format!(":large_green_circle: *recovered* {said}{since}")
        );
        alert.details = vec!["ä".repeat(5_000)];
        assert_eq!(text(&message(&alert, Event::Problem, false)).chars().count(), TEXT_CHARS_MAX + 2);
    }
}
