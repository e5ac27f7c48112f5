//! What a file's name tells of it, where nothing else is known yet.

use std::path::Path;

use glob::Pattern;

use crate::backup::{
    BackupSource, file_name, seal,
    source::{dump, files},
};

/// What a file seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backup::source) enum Kind {
    /// A backup, or the part of one that tells its age.
    Backup,
    /// Part of one, or something else.
    Unknown,
    /// Something that lies beside backups: a seal, a log, the dump of roles and tablespaces.
    Beside,
}

/// In directory dumps and base backups, the files that are written when they are made.
const MARKS: [&str; 3] = ["toc.dat", "backup_label", "backup_manifest"];

/// What programs say of their work.
const LOGS: [&str; 3] = [".log", ".out", ".err"];

/// What the dump of roles and tablespaces, an SQL file, is called.
const GLOBALS: [&str; 2] = ["globals", "roles"];

impl Kind {
    /// What the file at `path` seems to be among those of `source`.
    pub(in crate::backup::source) fn of(source: &BackupSource, path: &Path) -> Self {
        let name = file_name(path).to_lowercase();
        let is_globals = name.contains(".sql") && GLOBALS.iter().any(|word| name.contains(word));
        let is_log = LOGS.iter().any(|end| name.ends_with(end));
        if path.ancestors().any(|part| is_none(source, part)) || is_globals || is_log {
            return Self::Beside;
        }
        match &source.pattern {
            Some(pattern) if path.ancestors().any(|part| matches(pattern, part)) => Self::Backup,
            Some(_) => Self::Beside,
            None if MARKS.contains(&name.as_str()) || dump::is_called_like_one(&name) => Self::Backup,
            None => Self::Unknown,
        }
    }
}

/// Whether what lies at `path` is no backup, or none yet, whatever is in it.
pub(super) fn is_none(source: &BackupSource, path: &Path) -> bool {
    seal::is_seal(path) || files::is_passed_over(path, source)
}

/// Whether the end of `path` matches `pattern`, which has as many parts.
pub(in crate::backup::source) fn matches(pattern: &str, path: &Path) -> bool {
    let parts: Vec<_> = path.iter().collect();
    let count = pattern.split('/').count();
    let Some(first) = parts.len().checked_sub(count) else { return false };
    let end: std::path::PathBuf = parts[first..].iter().collect();
    Pattern::new(pattern).is_ok_and(|pattern| pattern.matches_path_with(&end, files::MATCHING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_a_file_is() {
        use Kind::{Backup, Beside, Unknown};
        let mut source = BackupSource::dumps("offsite", "");
        for (path, kind) in [
            ("/data/stock.dump", Backup),
            ("/data/stock.sql.gz.gpg", Backup),
            ("/data/stock/toc.dat", Backup),
            ("/data/base/backup_label", Backup),
            ("/data/base/base/1/1259", Unknown),
            ("/data/stdin", Unknown),
            ("/data/stock.dump.seal", Beside),
            ("/data/stock.dump.sha256", Beside),
            ("/data/globals.sql.gz", Beside),
            ("/data/stock-roles.sql", Beside),
            ("/data/backup.log", Beside),
            ("/data/stock.dump.partial", Beside),
            ("/data/stock.partial/toc.dat", Beside),
        ] {
            assert_eq!(Kind::of(&source, Path::new(path)), kind, "{path}");
        }
        for (pattern, path, kind) in [
            ("stock-*.dump", "/data/stock-2.dump", Backup),
            ("stock-*.dump", "/data/other.dump", Beside),
            ("nightly/*", "/data/nightly/stock", Backup),
            ("nightly/*", "/data/weekly/stock", Beside),
            ("base-*", "/data/base-1/global/pg_control", Backup),
        ] {
            source.pattern = Some(pattern.to_owned());
            assert_eq!(Kind::of(&source, Path::new(path)), kind, "{pattern} {path}");
        }
    }
}
