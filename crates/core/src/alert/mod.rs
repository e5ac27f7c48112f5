//! Telling people: one [`Alert`], sent through every channel that is configured.
//!
//! The log is always a channel. A remote channel that fails is tried again, then reported; the caller prints its
//! result first and then asks [`Deliveries::require`], which is an error when a critical alert reached no remote
//! channel although one is configured.

mod http;
mod log;
mod slack;

use std::pin::Pin;

use serde::Serialize;

use crate::config::Alerts;

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Look at it soon.
    Warning,
    /// Look at it now.
    Critical,
}

/// Something that a person must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// The command that found it, such as `monitor-backups`.
    pub source: &'static str,
    /// How urgent it is.
    pub severity: Severity,
    /// Names the problem, the same in every run that sees it, such as `backup/nightly`.
    pub key: String,
    /// One sentence.
    pub summary: String,
    /// What was looked at and what to do, a line each.
    pub details: Vec<String>,
    /// The run in `stockfoil.run` that found it, where one was recorded.
    pub run_id: Option<i64>,
}

/// What one channel did with one alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The channel: `log`, `slack`.
    pub channel: &'static str,
    /// Why it did not take the alert; none when it did.
    pub error: Option<String>,
}

/// An alert and what every channel did with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
    /// The log first, then the remote channels.
    pub channels: Vec<Delivery>,
}

/// What became of the alerts of one run, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Deliveries(Vec<Sent>);

/// Why an alert did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// No remote channel took a critical alert.
    #[error("the critical alert {summary:?} reached nobody: {reasons}; check [alerts] and the network")]
    Undelivered {
        /// The alert's sentence.
        summary: String,
        /// Each channel with its reason.
        reasons: String,
    },
}

impl Deliveries {
    /// The alerts with what became of each.
    pub fn iter(&self) -> std::slice::Iter<'_, Sent> {
        self.0.iter()
    }

    /// Checks that every critical alert was taken by a remote channel, where one is configured.
    ///
    /// # Errors
    /// [`AlertError::Undelivered`] for the first that was not.
    pub fn require(&self) -> Result<(), AlertError> {
        match self.0.iter().find(|sent| sent.alert.severity == Severity::Critical && sent.is_lost()) {
            None => Ok(()),
            Some(Sent { alert, channels }) => {
                let reasons: Vec<String> = channels
                    .iter()
                    .filter_map(|delivery| Some(format!("{} {}", delivery.channel, delivery.error.as_ref()?)))
                    .collect();
                Err(AlertError::Undelivered { summary: alert.summary.clone(), reasons: reasons.join(", ") })
            }
        }
    }
}

impl<'a> IntoIterator for &'a Deliveries {
    type Item = &'a Sent;
    type IntoIter = std::slice::Iter<'a, Sent>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Sent {
    /// Whether remote channels are configured and none of them took it.
    fn is_lost(&self) -> bool {
        let mut remote = self.channels.iter().filter(|delivery| delivery.channel != log::NAME).peekable();
        remote.peek().is_some() && remote.all(|delivery| delivery.error.is_some())
    }
}

/// Sends `alerts` in their order through every channel of `config`.
///
/// It never fails as a whole; ask [`Deliveries::require`] when the result is printed. The time is bounded: each
/// attempt by `config.timeout`, and a channel that could not be reached is tried only once for later alerts.
pub fn send<'a>(
    config: &'a Alerts,
    alerts: &'a [Alert],
) -> Pin<Box<dyn Future<Output = Deliveries> + Send + 'a>> {
    Box::pin(async move {
        let mut slack = config.slack_webhook_url.as_ref().map(|url| slack::Slack::new(url, config.timeout));
        let mut deliveries = Vec::with_capacity(alerts.len());
        for alert in alerts {
            let mut channels = vec![log::send(alert)];
            if let Some(slack) = &mut slack {
                channels.push(slack.send(alert).await);
            }
            deliveries.push(Sent { alert: alert.clone(), channels });
        }
        Deliveries(deliveries)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(severity: Severity, channels: &[(&'static str, Option<&str>)]) -> Deliveries {
        let alert = Alert {
            source: "test",
            severity,
            key: "k".into(),
            summary: "s".into(),
            details: Vec::new(),
            run_id: None,
        };
        let channels = channels
            .iter()
            .map(|&(channel, error)| Delivery { channel, error: error.map(str::to_owned) })
            .collect();
        Deliveries(vec![Sent { alert, channels }])
    }

    #[test]
    fn a_critical_alert_must_reach_a_remote_channel_where_there_is_one() {
        use Severity::{Critical, Warning};
        let (log, down) = (("log", None), ("slack", Some("no answer")));
        assert!(sent(Critical, &[log]).require().is_ok());
        assert!(sent(Critical, &[log, ("slack", None)]).require().is_ok());
        assert!(sent(Critical, &[log, down, ("email", None)]).require().is_ok());
        assert!(sent(Warning, &[log, down]).require().is_ok());
        let error = sent(Critical, &[log, down]).require().unwrap_err().to_string();
        assert!(error.contains("reached nobody: slack no answer"), "{error}");
    }
}
