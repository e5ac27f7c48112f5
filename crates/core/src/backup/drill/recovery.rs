//! Where the recovery of a restored cluster ended, and whether the archive goes on from there.

use std::{fs, path::Path};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::backup::{
    Finding,
    restored::Recovery,
    source::basebackup::first_segment,
    wal::{self, Ended, SEGMENT_BYTES, Segment, lsn_text},
};

/// Where a recovery ended.
#[derive(Debug, Clone, Serialize)]
pub struct RecoveryEnd {
    /// The place in WAL behind the last record, such as `0/5000000`.
    pub lsn: String,
    /// The timeline of that record.
    pub timeline: u32,
    /// When the last transaction committed that was recovered; none where WAL held no transaction.
    pub last_transaction_at: Option<DateTime<Utc>>,
    /// The segment with which the archive ends, before any gap; none where it is not known.
    pub archive_ends_with: Option<String>,
}

/// What the server's log says of a recovery.
#[derive(Debug, Default, PartialEq, Eq)]
struct Logged {
    /// Why no more was read.
    reason: Option<String>,
    last_transaction_at: Option<DateTime<Utc>>,
}

/// A recovery that is about to begin on restored data.
pub(super) struct Beginning {
    /// The segment in which it begins; none where the data has no label.
    first: Option<Segment>,
}

impl Beginning {
    /// Looks where the recovery of the data in `data` begins.
    pub(super) fn of(data: &Path, recovery: &Recovery) -> Self {
        let bytes = recovery.holdings.as_ref().map_or(SEGMENT_BYTES, |holdings| holdings.segment_bytes);
        Self { first: first_segment(data, bytes) }
    }

    /// Where it ended, by the history of the new timeline, with a finding where the archive goes on.
    pub(super) async fn ended(
        &self,
        data: &Path,
        log: &Path,
        recovery: &Recovery,
        scratch: &Path,
    ) -> Result<(RecoveryEnd, Option<Finding>), Finding> {
        let unknown = |text: &str| {
            Finding::unknown("recovery", format!("where the recovery ended is not known: {text}"))
        };
        let mut turns = turns(&data.join("pg_wal"));
        let (timeline, lsn) =
            turns.pop().ok_or_else(|| unknown("the server left no history of its timeline"))?;
        let logged = read_log(&fs::read_to_string(log).unwrap_or_default());
        let mut end = RecoveryEnd {
            lsn: lsn_text(lsn),
            timeline,
            last_transaction_at: logged.last_transaction_at,
            archive_ends_with: None,
        };
        let (Some(holdings), Some(first)) = (&recovery.holdings, self.first) else { return Ok((end, None)) };
        let ended = Ended { timeline, lsn, turns, reason: logged.reason };
        let way = holdings.along(&ended).way(first);
        end.archive_ends_with = way.map(|way| way.last.name(holdings.segment_bytes));
        let segment = ended.segment(holdings.segment_bytes);
        let place = scratch.join("last");
        let is_there =
            recovery.supply.fetch(&segment.name(holdings.segment_bytes), &place).await.unwrap_or(false);
        let content = if is_there { fs::read(&place).ok() } else { None };
        let finding = holdings.hold_against(first, &ended, content.as_deref());
        Ok((end, finding))
    }
}

/// The turns in the newest history in `folder`: each timeline and where it ended, the last one where the recovery did
/// (`1\t0/5000000\tno recovery target`). None where there is no history.
fn turns(folder: &Path) -> Vec<(u32, u64)> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = names.filter(|path| path.extension().is_some_and(|end| end == "history")).max();
    let text = newest.and_then(|newest| fs::read_to_string(newest).ok()).unwrap_or_default();
    wal::turns(&text)
}

fn read_log(log: &str) -> Logged {
    const USUAL: [&str; 6] = [
        "restored log file",
        "consistent recovery state",
        "redo starts",
        "redo in progress",
        "recovery restart point",
        "starting archive recovery",
    ];
    let mut logged = Logged::default();
    let mut said = None;
    for text in log.lines().filter_map(|line| line.split_once("LOG:  ").map(|(_, text)| text.trim())) {
        if text.starts_with("redo done at") {
            logged.reason = said.take();
        } else if let Some(at) = text.strip_prefix("last completed transaction was at log time ") {
            logged.last_transaction_at =
                DateTime::parse_from_str(at, "%Y-%m-%d %H:%M:%S%.f%#z").ok().map(|at| at.to_utc());
        }
        said = (!USUAL.iter().any(|usual| text.starts_with(usual))).then(|| text.to_owned());
    }
    logged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_why_and_when() {
        let log = "2026-01-31 UTC [1] LOG:  redo starts at 0/2000028\n\
            2026-01-31 UTC [1] LOG:  restored log file \"000000010000000000000003\" from archive\n\
            2026-01-31 UTC [1] LOG:  invalid record length at 0/3000060: wanted 24, got 0\n\
            2026-01-31 UTC [1] LOG:  redo done at 0/3000028 system usage: CPU\n\
            2026-01-31 UTC [1] LOG:  last completed transaction was at log time 2026-01-31 02:00:00.5+00\n";
        let logged = read_log(log);
        assert_eq!(logged.reason.unwrap(), "invalid record length at 0/3000060: wanted 24, got 0");
        assert_eq!(logged.last_transaction_at.unwrap().to_rfc3339(), "2026-01-31T02:00:00.500+00:00");
        assert_eq!(read_log("x LOG:  restored log file a\nx LOG:  redo done at 0/1\n"), Logged::default());
    }
}
