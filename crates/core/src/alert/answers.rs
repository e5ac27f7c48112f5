//! What channels did with what they were given.

use serde::Serialize;

use super::{
    LOG,
    delivery::Refusal,
    message::{Alert, Event, Severity},
};

/// What a channel did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It took it.
    Sent,
    /// It was told before, and it is not yet time to repeat it.
    ToldBefore,
    /// It did not take it.
    Failed,
}

/// What one channel did with one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The channel's name; `log` is the log.
    pub channel: String,
    /// What became of the message.
    pub answer: Answer,
    /// Why it did not take it; none when it did.
    pub error: Option<String>,
}

/// A message and what every channel that it was for did with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Whether the problem is there or over.
    pub event: Event,
    /// The alert; of a recovery the one that was told.
    #[serde(flatten)]
    pub alert: Alert,
    /// The log first, then the remote channels.
    pub channels: Vec<Delivery>,
}

/// What became of the messages of one run: its alerts in their order, then the recoveries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Deliveries(pub(super) Vec<Sent>);

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
    /// The messages with what became of each.
    pub fn iter(&self) -> std::slice::Iter<'_, Sent> {
        self.0.iter()
    }

    /// Checks that every critical alert was taken by a remote channel, now or lately, where one is configured.
    ///
    /// # Errors
    /// [`AlertError::Undelivered`] for the first that was not.
    pub fn require(&self) -> Result<(), AlertError> {
        match self.0.iter().find(|sent| sent.is_lost()) {
            None => Ok(()),
            Some(Sent { alert, channels, .. }) => {
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
    /// Whether it is a critical problem, remote channels are configured for it, and none of them took it.
    fn is_lost(&self) -> bool {
        let mut remote = self.channels.iter().filter(|delivery| delivery.channel != LOG).peekable();
        self.event == Event::Problem
            && self.alert.severity == Severity::Critical
            && remote.peek().is_some()
            && remote.all(|delivery| delivery.answer == Answer::Failed)
    }
}

impl Delivery {
    pub(super) fn sent(channel: &str) -> Self {
        Self { channel: channel.to_owned(), answer: Answer::Sent, error: None }
    }

    pub(super) fn told_before(channel: &str) -> Self {
        Self { answer: Answer::ToldBefore, ..Self::sent(channel) }
    }

    pub(super) fn failed(channel: &str, error: &Refusal) -> Self {
        Self { answer: Answer::Failed, error: Some(error.to_string()), ..Self::sent(channel) }
    }
}
