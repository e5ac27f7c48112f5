//! What people are told: a problem, or that it is over.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Look at it soon.
    Warning,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a message says of its problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It is there.
    Problem,
    /// It is over.
    Recovery,
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

/// What a channel is given.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    pub(super) schema: &'static str,
    /// The same at each attempt to deliver this message, and at no other.
    pub(super) id: String,
    pub(super) event: Event,
    pub(super) sent_at: DateTime<Utc>,
    /// When the problem was told first.
    pub(super) opened_at: DateTime<Utc>,
    /// Whether the channel was told of this problem before.
    pub(super) is_repeat: bool,
    pub(super) instance: Option<&'a str>,
    pub(super) host: &'a str,
    #[serde(flatten)]
    pub(super) alert: &'a Alert,
}

impl Message<'_> {
    /// `critical`, `still critical`, `recovered`.
    pub(super) fn state(&self) -> String {
        match (self.event, self.is_repeat) {
            (Event::Recovery, _) => "recovered".to_owned(),
            (Event::Problem, true) => format!("still {}", self.alert.severity.as_str()),
            (Event::Problem, false) => self.alert.severity.as_str().to_owned(),
        }
    }

    /// Who says what, on one line, whatever a file's name holds.
    pub(super) fn headline(&self) -> String {
        let instance = self.instance.map_or_else(String::new, |instance| format!(" ({instance})"));
        one_line(&format!("{}{instance}: {}", self.alert.source, self.alert.summary))
    }

    /// The details, and where and since when, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.alert.details.iter().map(|detail| one_line(detail)).collect();
        if self.is_repeat || self.event == Event::Recovery {
            lines.push(format!("open since {}", self.opened_at.format("%Y-%m-%d %H:%M UTC")));
        }
        let run = self.alert.run_id.map_or_else(String::new, |run| format!("run {run} "));
        lines.push(format!("{run}on {}", self.host));
        lines
    }
}

pub(super) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
