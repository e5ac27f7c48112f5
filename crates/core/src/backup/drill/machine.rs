//! What stands in a drill's way and is this machine's: a good backup is not to be blamed for it.

use std::{fs, path::Path};

use crate::backup::{Finding, Status};

/// What a server and its clients say of a disk without room.
const NO_ROOM: &str = "No space left on device";

/// `finding`, as one of the machine where the server's `log` or its own words say so.
pub(super) fn own(finding: Finding, log: &Path) -> Finding {
    if finding.status != Status::Critical {
        return finding;
    }
    let is_full = finding.text.contains(NO_ROOM)
        || fs::read(log).is_ok_and(|log| memchr::memmem::find(&log, NO_ROOM.as_bytes()).is_some());
    if is_full {
        let text = format!(
            "the disk got full in the midst of the drill ({}); give it room, or set backup.drill_folder to another disk",
            finding.text
        );
        return Finding::unknown("drill", text);
    }
    match lacking(&finding.text) {
        Some(what) => {
            let text = format!(
                "needs {what}, which PostgreSQL on this machine lacks; install it for the server that drills use ({})",
                finding.text
            );
            Finding::unknown("tool", text)
        }
        None => finding,
    }
}

/// What of an installation a server misses, by its own words.
pub(super) fn lacking(words: &str) -> Option<String> {
    let behind = |sign: &str, end: &str| {
        let (_, rest) = words.split_once(sign)?;
        Some(rest.split_once(end).map_or(rest, |(name, _)| name).to_owned())
    };
    if words.contains("\" is not available") {
        return behind("extension \"", "\"").map(|name| format!("the extension {name}"));
    }
    let control = || behind("could not open extension control file \"", ".control\"");
    if let Some(path) = control() {
        return Some(format!("the extension {}", path.rsplit('/').next().unwrap_or(&path)));
    }
    let library =
        behind("could not access file \"", "\"").or_else(|| behind("could not load library \"", "\""));
    library.map(|path| format!("the library {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_lacks_is_named() {
        for (words, what) in [
            (
                "psql refused it: ERROR:  extension \"postgis\" is not available",
                Some("the extension postgis"),
            ),
            (
                "could not open extension control file \"/usr/share/postgresql/15/extension/hstore.control\": No such file",
                Some("the extension hstore"),
            ),
            (
                "ERROR:  could not access file \"$libdir/plperl\": No such file",
                Some("the library $libdir/plperl"),
            ),
            ("ERROR:  relation \"a\" does not exist", None),
        ] {
            assert_eq!(lacking(words).as_deref(), what, "{words}");
        }
    }

    #[test]
    fn a_full_disk_is_no_fault_of_the_backup() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let refused = || Finding::critical("load", "psql refused it: the server ended");
        assert_eq!(own(refused(), log.path()), refused());
        fs::write(log.path(), "PANIC:  could not write to file \"x\": No space left on device\n").unwrap();
        assert_eq!(own(refused(), log.path()).status, Status::Unknown);
    }
}
