//! The channel that is always there: the log, hence standard error, hence cron's mail and the journal.

use super::{Alert, Delivery, Severity};

pub(super) const NAME: &str = "log";

/// Writes `alert` on one line.
pub(super) fn send(alert: &Alert) -> Delivery {
    let Alert { source, summary, details, .. } = alert;
    let mut line = format!("{source}: {summary}");
    for detail in details {
        line.push_str("; ");
        line.push_str(detail);
    }
    // One alert is one line, whatever a file's name holds.
    let line = line.replace(char::is_control, " ");
    match alert.severity {
        Severity::Critical => log::error!("{line}"),
        Severity::Warning => log::warn!("{line}"),
    }
    Delivery { channel: NAME, error: None }
}
