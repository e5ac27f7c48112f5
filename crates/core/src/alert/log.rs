//! The channel that is always there: the log, hence standard error, hence cron's mail and the journal.

use super::{Alert, Severity, one_line};

/// The log's name as a channel.
pub const NAME: &str = "log";

/// Writes `alert` on one line.
pub(super) fn problem(alert: &Alert) {
    let Alert { source, summary, details, .. } = alert;
    let mut line = format!("{source}: {summary}");
    for detail in details {
        line.push_str("; ");
        line.push_str(detail);
    }
    let line = one_line(&line);
    match alert.severity {
        Severity::Critical => log::error!("{line}"),
        Severity::Warning => log::warn!("{line}"),
    }
}

/// Writes that `alert` is over.
pub(super) fn recovery(alert: &Alert) {
    log::info!("{}", one_line(&format!("{}: recovered: {}", alert.source, alert.summary)));
}
