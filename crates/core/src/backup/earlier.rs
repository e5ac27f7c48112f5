//! What earlier runs found in a source, and nobody has looked at as deeply since.
//!
//! A problem is named for the depth at which it was found. So a run ends only what it looked at that deeply, and until
//! one does, every other run tells of the problem: a source is not well because nobody looked.

use super::{Depth, Finding, Settings, Status};
use crate::{
    alert::{self, Alert, Open, Severity},
    db::Db,
};

/// The commands that look at backups.
const COMMANDS: [&str; 2] = ["monitor-backups", "verify-backup"];

/// Which check a finding is of that an earlier run made.
const CHECK: &str = "earlier";

/// Names the problem that was found at `depth` in the backups of the source `name`.
pub(super) fn key(name: &str, depth: Depth) -> String {
    match depth {
        Depth::Quick => format!("backup/{name}"),
        Depth::Full => format!("backup-full/{name}"),
        Depth::Restore => format!("backup-restore/{name}"),
    }
}

/// The depth and the source that a key names.
pub(super) fn read_key(key: &str) -> Option<(Depth, &str)> {
    let (kind, name) = key.split_once('/')?;
    let depth = match kind {
        "backup" => Depth::Quick,
        "backup-full" => Depth::Full,
        "backup-restore" => Depth::Restore,
        _ => return None,
    };
    Some((depth, name))
}

/// Whether a run that looked at the source `name` to the depth `reached` looked at what `key` names.
pub(super) fn is_looked_at(key: &str, name: &str, reached: Depth) -> bool {
    read_key(key).is_some_and(|(depth, of)| of == name && depth <= reached)
}

/// Whether `key` names a source that is not configured any more.
pub(super) fn is_gone(settings: &Settings, key: &str) -> bool {
    read_key(key).is_some_and(|(_, name)| settings.source.iter().all(|source| source.name != name))
}

/// What to say of the end of a problem whose source is not configured any more.
pub(super) fn gone_text(settings: &Settings, key: &str) -> Vec<String> {
    let text = "no source of that name is configured any more, so nobody looks at it";
    is_gone(settings, key).then(|| text.to_owned()).into_iter().collect()
}

/// The open problems, each with the command that told it.
pub(super) struct Earlier {
    command: &'static str,
    open: Vec<(&'static str, Open)>,
}

impl Earlier {
    /// What is remembered, for a run of `command`.
    pub(super) async fn recall(settings: &alert::Settings, db: Option<&Db>, command: &'static str) -> Self {
        let mut open = Vec::new();
        for source in COMMANDS {
            open.extend(alert::open(settings, db, source).await.into_iter().map(|open| (source, open)));
        }
        Self { command, open }
    }

    fn of<'a>(
        &'a self,
        name: &'a str,
        reached: Depth,
    ) -> impl Iterator<Item = (&'static str, Depth, &'a Open)> {
        self.open.iter().filter_map(move |(source, open)| {
            let (depth, of) = read_key(&open.key)?;
            (of == name && depth > reached).then_some((*source, depth, open))
        })
    }

    /// The findings that stay for the source `name`, which was looked at to the depth `reached`.
    pub(super) fn findings(&self, name: &str, reached: Depth) -> Vec<Finding> {
        let finding = |(source, depth, open): (&str, Depth, &Open)| {
            let text = format!(
                "{source} found at depth {depth}, first on {}: {}; it was not looked at as deeply since",
                open.opened_at.format("%Y-%m-%d %H:%M UTC"),
                open.summary
            );
            let status = if open.severity == Severity::Critical { Status::Critical } else { Status::Warning };
            Finding { status, depth, ..Finding::warning(CHECK, text) }
        };
        self.of(name, reached).map(finding).collect()
    }

    /// The alerts of this command that stay open for the source `name`; what the other command told, it tells.
    pub(super) fn alerts(&self, name: &str, reached: Depth, run_id: Option<i64>) -> Vec<Alert> {
        let own = self.of(name, reached).filter(|(source, ..)| *source == self.command);
        own.map(|(_, depth, open)| Alert {
            source: self.command,
            severity: open.severity,
            key: open.key.clone(),
            summary: open.summary.clone(),
            details: vec![format!("it was not looked at as deeply ({depth}) since")],
            run_id,
        })
        .collect()
    }
}

/// The depths at which `findings` were made by this run, each with the worst of them.
pub(super) fn by_depth(findings: &[Finding]) -> Vec<(Depth, Status, Vec<&Finding>)> {
    let depths = [Depth::Quick, Depth::Full, Depth::Restore];
    let of = |depth| {
        let found: Vec<&Finding> =
            findings.iter().filter(|finding| finding.depth == depth && finding.check != CHECK).collect();
        let status = found.iter().map(|finding| finding.status).max()?;
        Some((depth, status, found))
    };
    depths.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_the_depth_and_any_source() {
        for name in ["nightly", "a/b", "full/x"] {
            for depth in [Depth::Quick, Depth::Full, Depth::Restore] {
                assert_eq!(read_key(&key(name, depth)), Some((depth, name)));
            }
        }
        let deep = key("a", Depth::Full);
        assert!(is_looked_at(&deep, "a", Depth::Restore) && is_looked_at(&deep, "a", Depth::Full));
        assert!(!is_looked_at(&deep, "a", Depth::Quick) && !is_looked_at(&deep, "b", Depth::Full));
        assert_eq!(read_key("balances/acme"), None);
    }
}
