//! What an archive of WAL is good for: how far it goes, and where something is missing.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Holdings, Segment, lsn_of, lsn_text};

/// How far an archive of WAL goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WalState {
    /// What it is called.
    pub place: String,
    /// The last segment that a recovery of the newest backup gets to, before any gap; none where it gets to none.
    pub ends_with: Option<String>,
    /// The place in WAL behind it.
    pub ends_at: Option<String>,
    /// Its timeline.
    pub timeline: Option<u32>,
    /// When it was archived, where that is known.
    pub archived_at: Option<DateTime<Utc>>,
    /// What is missing between the oldest backup and the end.
    pub gaps: Vec<Gap>,
    /// The identifier of the cluster that it is of, where that is known.
    #[serde(skip)]
    pub(in crate::backup) system: Option<u64>,
}

/// Segments of WAL that are missing in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The first one that is missing.
    pub from: String,
    /// The last one.
    pub to: String,
    /// The backups that can't be recovered past it.
    pub affects: Vec<String>,
}

impl WalState {
    /// The place in WAL behind what a recovery gets to; none where it gets to nothing.
    pub(in crate::backup) fn end(&self) -> Option<u64> {
        lsn_of(self.ends_at.as_deref()?)
    }
}

/// Where a backup begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backup) struct Begin {
    pub(in crate::backup) name: String,
    /// The segment.
    pub(in crate::backup) first: Segment,
    /// The number of the first one that it does not hold itself.
    pub(in crate::backup) needs: u64,
}

impl Begin {
    /// That of a backup which holds no WAL.
    pub(in crate::backup) fn bare(name: &str, first: Segment) -> Self {
        Self { name: name.to_owned(), first, needs: first.number }
    }

    /// That of one which holds the segments `own`.
    pub(in crate::backup) fn with(name: &str, first: Segment, own: &[Segment]) -> Self {
        let mut needs = first.number;
        while own.iter().any(|segment| segment.number == needs) {
            needs += 1;
        }
        Self { needs, ..Self::bare(name, first) }
    }
}

impl Holdings {
    /// What it is good for to these backups; the newest of them holds the segments `own`.
    pub(in crate::backup) fn state(&self, begins: &[Begin], own: &[Segment]) -> WalState {
        let with_own = Self { segments: [own, &self.segments].concat(), ..self.clone() };
        let bytes = self.segment_bytes;
        let newest = begins.iter().map(|begin| begin.first).max();
        let last = newest.and_then(|first| with_own.way(first)).map(|way| way.last);
        let oldest = begins.iter().map(|begin| Segment { number: begin.needs, ..begin.first }).min();
        let gap = |(from, to): (Segment, Segment)| {
            let affected = begins.iter().filter(|begin| begin.needs <= to.number);
            Gap {
                from: from.name(bytes),
                to: to.name(bytes),
                affects: affected.map(|begin| begin.name.clone()).collect(),
            }
        };
        WalState {
            place: self.place.clone(),
            ends_with: last.map(|last| last.name(bytes)),
            ends_at: last.map(|last| lsn_text((last.number + 1) * bytes)),
            timeline: last.map(|last| last.timeline),
            archived_at: last.and_then(|last| self.times.get(&last).copied()),
            gaps: oldest.map(|first| self.gaps(first)).unwrap_or_default().into_iter().map(gap).collect(),
            system: self.system,
        }
    }

    /// The gaps on the way from `first` on, each as its first and its last segment.
    fn gaps(&self, first: Segment) -> Vec<(Segment, Segment)> {
        let mut gaps = Vec::new();
        let mut expected = first;
        for segment in self.on_way(first).map(|(_, on_way)| on_way).unwrap_or_default() {
            if segment.number > expected.number {
                gaps.push((expected, Segment { number: segment.number - 1, ..expected }));
            }
            expected = Segment { number: segment.number + 1, ..segment };
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::{super::SEGMENT_BYTES, *};

    #[test]
    fn a_gap_affects_the_backups_before_it() {
        let segment = |number| Segment { timeline: 1, number };
        let holdings = Holdings {
            place: "the archive".to_owned(),
            segments: [2, 3, 6, 7].map(segment).to_vec(),
            segment_bytes: SEGMENT_BYTES,
            ..Holdings::default()
        };
        let begins = [Begin::bare("new", segment(6)), Begin::bare("old", segment(2))];
        let state = holdings.state(&begins, &[]);
        assert_eq!(state.ends_with.unwrap(), "000000010000000000000007");
        assert_eq!(state.ends_at.unwrap(), "0/8000000");
        let gap = &state.gaps[0];
        assert_eq!(
            (gap.from.as_str(), gap.to.as_str()),
            ("000000010000000000000004", "000000010000000000000005")
        );
        assert_eq!((state.gaps.len(), &gap.affects), (1, &vec!["old".to_owned()]));
        // What a backup brings along is there.
        let own = [2, 3, 4, 5].map(segment);
        assert_eq!(holdings.state(&[Begin::with("old", segment(2), &own)], &own).gaps, []);
        assert_eq!(holdings.state(&begins[1..], &[]).ends_with.unwrap(), "000000010000000000000003");
    }
}
