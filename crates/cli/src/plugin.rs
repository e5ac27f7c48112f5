//! The form in which Nagios and its kin read a check: one line with a state, more lines, numbers, an exit status.
//!
//! As the Monitoring Plugins' development guidelines have it: `SERVICE STATE: text | 'label'=value[unit];warn;crit`.

use stockfoil_core::report::{Plugin, PluginNumber, PluginState};

/// What a plugin writes for `plugin`.
pub(crate) fn text(plugin: &Plugin) -> String {
    let numbers: Vec<String> = plugin.numbers.iter().map(number).collect();
    let numbers = if numbers.is_empty() { String::new() } else { format!(" | {}", numbers.join(" ")) };
    let mut out = format!("{} {}: {}{numbers}\n", plugin.service, word(plugin.state), plain(&plugin.summary));
    for line in &plugin.details {
        out.push_str(&plain(line));
        out.push('\n');
    }
    out
}

/// What a plugin writes when it could not do its work.
pub(crate) fn unknown(name: &str, message: &str) -> String {
    format!("{} UNKNOWN: {}\n", name.to_uppercase(), plain(message))
}

fn word(state: PluginState) -> &'static str {
    match state {
        PluginState::Ok => "OK",
        PluginState::Warning => "WARNING",
        PluginState::Critical => "CRITICAL",
        PluginState::Unknown => "UNKNOWN",
    }
}

/// `'nightly age'=88200s;88200;90000`. A label has no `=`, and its `'` is doubled.
fn number(number: &PluginNumber) -> String {
    let PluginNumber { label, value, unit, warning, critical } = number;
    let label = plain(label).replace('=', "_").replace('\'', "''");
    let limits = format!(";{warning};{critical}");
    format!("'{label}'={value}{unit}{}", limits.trim_end_matches(';'))
}

/// One line; what stands behind a `|` would be read as numbers.
fn plain(text: &str) -> String {
    text.replace('|', "/").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cant_be_taken_for_numbers() {
        let number = |label: &str, warning: &str| PluginNumber {
            label: label.into(),
            value: 5,
            unit: "s",
            warning: warning.into(),
            critical: String::new(),
        };
        let plugin = Plugin {
            service: "BACKUPS",
            state: PluginState::Critical,
            summary: "a|b\nc".into(),
            details: vec!["x|y".into()],
            numbers: vec![number("it's=me age", "7"), number("b", "")],
        };
        assert_eq!(text(&plugin), "BACKUPS CRITICAL: a/b c | 'it''s_me age'=5s;7 'b'=5s\nx/y\n");
    }
}
