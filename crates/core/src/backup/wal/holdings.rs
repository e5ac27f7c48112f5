//! How far an archive of WAL goes on, and whether a recovery got there.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{NAMED_MAX, Segment, lsn_text, missing, missing_finding, page};
use crate::backup::Finding;

/// What is in an archive of WAL, a folder's or a tool's.
#[derive(Debug, Clone, Default)]
pub(in crate::backup) struct Holdings {
    /// What people call it.
    pub(in crate::backup) place: String,
    /// The segments.
    pub(in crate::backup) segments: Vec<Segment>,
    /// The timelines whose history is there; none where that is not known.
    pub(in crate::backup) histories: Option<BTreeSet<u32>>,
    /// The size of a segment.
    pub(in crate::backup) segment_bytes: u64,
    /// Of histories that were read, the timelines before theirs, each with the place where it was left.
    pub(in crate::backup) lineage: BTreeMap<u32, Vec<(u32, u64)>>,
    /// When each was archived, where that is known.
    pub(in crate::backup) times: BTreeMap<Segment, DateTime<Utc>>,
    /// The identifier of the cluster that they are of, where that is known.
    pub(in crate::backup) system: Option<u64>,
}

/// The way that a recovery has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backup) struct Way {
    /// The newest timeline that there are segments of.
    pub(in crate::backup) timeline: u32,
    /// The last segment before a gap or the end.
    pub(in crate::backup) last: Segment,
    /// The last one behind the first gap.
    pub(in crate::backup) beyond: Option<Segment>,
    /// What is missing on the way.
    missing: Vec<Segment>,
}

/// Where a recovery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backup) struct Ended {
    /// The timeline of the last record.
    pub(in crate::backup) timeline: u32,
    /// The place behind it.
    pub(in crate::backup) lsn: u64,
    /// The timelines before, each with the place where it was left for the next.
    pub(in crate::backup) turns: Vec<(u32, u64)>,
    /// What the server said of it.
    pub(in crate::backup) reason: Option<String>,
}

impl Ended {
    /// Where the way of the recovery leaves `timeline`; none where it is the last, or is not on the way.
    fn turn_from(&self, timeline: u32) -> Option<u64> {
        self.turns.iter().find(|(from, _)| *from == timeline).map(|(_, lsn)| *lsn)
    }

    /// The segment in which it ended, of the timeline that was in force there.
    pub(in crate::backup) fn segment(&self, segment_bytes: u64) -> Segment {
        let turn = self.turns.iter().find(|(_, until)| self.lsn < *until);
        Segment::at(turn.map_or(self.timeline, |(timeline, _)| *timeline), self.lsn, segment_bytes)
    }
}

impl Holdings {
    /// What of it is on the way of the recovery that `ended`, or newer: the WAL that an older timeline has behind the
    /// turn to the next leads nowhere, and neither does that of a timeline that the way passes by.
    pub(in crate::backup) fn along(&self, ended: &Ended) -> Self {
        let leads = |segment: &&Segment| {
            segment.timeline >= ended.timeline
                || ended
                    .turn_from(segment.timeline)
                    .is_some_and(|until| segment.number * self.segment_bytes < until)
        };
        Self { segments: self.segments.iter().filter(leads).copied().collect(), ..self.clone() }
    }

    /// The way from `first` on; none where nothing from there on is held.
    pub(in crate::backup) fn way(&self, first: Segment) -> Option<Way> {
        let (timeline, on_way) = self.on_way(first)?;
        // Where the archive begins behind the backup's own WAL, only the backup tells.
        let begin = Segment { number: on_way.first()?.number, ..first };
        let missing = missing(&on_way, begin);
        let gap = missing.first().map_or(u64::MAX, |segment| segment.number);
        let last = on_way.iter().rfind(|segment| segment.number < gap).copied()?;
        let beyond = on_way.last().copied().filter(|segment| segment.number > gap);
        Some(Way { timeline, last, beyond, missing })
    }

    /// The newest timeline from `first` on, and the segments that lead to its end, in order; none where there are none.
    pub(super) fn on_way(&self, first: Segment) -> Option<(u32, Vec<Segment>)> {
        let newer = |segment: &&Segment| segment.number >= first.number && segment.timeline >= first.timeline;
        let timeline = self.segments.iter().filter(newer).map(|segment| segment.timeline).max()?;
        let of_newest = self.segments.iter().filter(newer).filter(|segment| segment.timeline == timeline);
        let turn = of_newest.map(|segment| segment.number).min()?;
        // Behind the turn to the newest timeline, segments of older ones lead nowhere.
        let mut on_way: Vec<Segment> = self
            .segments
            .iter()
            .filter(newer)
            .filter(|segment| segment.timeline == timeline || segment.number < turn)
            .copied()
            .collect();
        on_way.sort_by_key(|segment| (segment.number, segment.timeline));
        Some((timeline, on_way))
    }

    /// What is not as it should be on the way from `first`, at which a backup begins that holds the segments `own`; none
    /// where the archive alone makes it whole.
    pub(in crate::backup) fn faults(&self, first: Segment, own: Option<&[Segment]>) -> Vec<Finding> {
        let critical = |text| Finding::critical("wal", text);
        let (is_alone, own) = (own.is_none(), own.unwrap_or_default());
        let with_own = Self { segments: [own, &self.segments].concat(), ..self.clone() };
        let Some(way) = self.way(first).and_then(|_| with_own.way(first)) else {
            let text = format!(
                "{} holds no WAL since the newest backup began (in {}), so that nothing of what came after it is kept",
                self.place,
                first.name(self.segment_bytes)
            );
            return vec![critical(text)];
        };
        let begun = if is_alone {
            self.on_way(first).map_or(first.number, |(_, way)| way[0].number)
        } else {
            first.number
        };
        let leading = (first.number..begun).take(NAMED_MAX + 1).map(|number| Segment { number, ..first });
        let missing: Vec<Segment> = leading.chain(way.missing).collect();
        let mut findings: Vec<Finding> =
            missing_finding(&missing, self.segment_bytes, &self.place).into_iter().collect();
        // A server looks for the next timeline, and the next, whether they have segments or not.
        let next = (first.timeline + 1..).take_while(|next| self.lineage.contains_key(next)).last();
        findings.extend(self.no_way(first, next.unwrap_or_default().max(way.timeline)));
        if let Some(histories) = &self.histories {
            let lacking: Vec<String> = (first.timeline + 1..=way.timeline)
                .filter(|timeline| !histories.contains(timeline))
                .filter(|timeline| {
                    *timeline == way.timeline
                        || self.segments.iter().any(|segment| segment.timeline == *timeline)
                })
                .take(NAMED_MAX)
                .map(|timeline| format!("{timeline:08X}.history"))
                .collect();
            if !lacking.is_empty() {
                findings.push(critical(format!(
                    "{} is missing in {}, without which no recovery goes on to timeline {}",
                    lacking.join(", "),
                    self.place,
                    way.timeline
                )));
            }
        }
        findings
    }

    /// That no recovery of the backup that begins in `first` goes on to `timeline`, which was left for another before, or
    /// never was on the way: a server goes for the newest timeline that there is, and does not start where it can't.
    fn no_way(&self, first: Segment, timeline: u32) -> Option<Finding> {
        let turns = self.lineage.get(&timeline).filter(|_| timeline > first.timeline)?;
        let turn = turns.iter().find(|(from, _)| *from == first.timeline).map(|(_, lsn)| *lsn);
        let why = match turn {
            Some(lsn) if lsn < first.number * self.segment_bytes => format!(
                "leaves timeline {} at {}, before the newest backup began (in {})",
                first.timeline,
                lsn_text(lsn),
                first.name(self.segment_bytes)
            ),
            Some(_) => return None,
            None => format!("does not tell where timeline {} was left", first.timeline),
        };
        let text = format!(
            "{timeline:08X}.history in {} {why}, so that no recovery of it goes on there: was a test's restore archived to the same place?",
            self.place
        );
        Some(Finding::critical("wal", text))
    }

    /// Whether a recovery from `first` that `ended` got to the end of what is held: a finding where it did not.
    /// `segment` is the content of the segment in which it ended, where that is held.
    pub(in crate::backup) fn hold_against(
        &self,
        first: Segment,
        ended: &Ended,
        segment: Option<&[u8]>,
    ) -> Option<Finding> {
        let way = self.along(ended).way(first)?;
        let bytes = self.segment_bytes;
        let end = (way.last.number + 1) * bytes;
        let held_until = ended.turn_from(way.last.timeline).map_or(end, |turn| turn.min(end));
        let name = |segment: Segment| segment.name(bytes);
        let goes_on = match way.beyond {
            Some(beyond) => {
                format!("the archive goes on to {}, and behind a gap to {}", name(way.last), name(beyond))
            }
            None => format!("the archive goes on to {}", name(way.last)),
        };
        let is_cut_off = || {
            // A record that has only begun is not lost: the archive does not have the rest of it yet.
            let number = ended.lsn / bytes;
            let at = usize::try_from(ended.lsn % bytes).ok();
            let left = (way.last.number + 1).saturating_sub(number);
            at.zip(segment).is_some_and(|(at, segment)| page::is_cut_off_record(segment, at, left))
        };
        let is_at_end = ended.lsn >= held_until || is_cut_off();
        // A timeline that has only begun has a history and no segment yet.
        if is_at_end && way.beyond.is_none() && ended.timeline >= way.timeline {
            return None;
        }
        let reason = ended.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        Some(Finding::critical(
            "wal",
            format!(
                "the recovery ended at {} on timeline {}{reason}, and {goes_on}: what is in between is lost",
                lsn_text(ended.lsn),
                ended.timeline
            ),
        ))
    }
}
