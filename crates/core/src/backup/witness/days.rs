//! Production's entries by organization and day against those of a dump.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::NAMED_MAX;
use crate::backup::{
    first_of,
    reading::{EntryDays, Owners},
};

/// What the ledger `name` in a dump with these `owners` lacks of what production has from before it began (`theirs`), in words;
/// and a note where nothing is lost, but is another organization's now.
pub(super) fn compare(name: &str, theirs: &EntryDays, owners: &Owners) -> (Vec<String>, Option<String>) {
    let Some(entries) = &owners.entries else { return (Vec::new(), None) };
    let lacking: Vec<Lacking> = theirs.iter().filter_map(|of| Lacking::of(of, owners, entries)).collect();
    if lacking.is_empty() {
        return (Vec::new(), None);
    }
    if lost(theirs, owners).is_some_and(|lost| lost == 0) {
        let note = format!(
            "entries of {name} are another organization's in it than in production by now, of the same days: {}",
            first_of(&texts(&lacking), NAMED_MAX)
        );
        return (Vec::new(), Some(note));
    }
    let (none, fewer): (Vec<Lacking>, Vec<Lacking>) = lacking.into_iter().partition(|lacking| lacking.is_all);
    let mut found = Vec::new();
    if !none.is_empty() {
        let of: Vec<String> =
            none.iter().map(|lacking| format!("{} ({})", lacking.org, lacking.count)).collect();
        found.push(format!(
            "holds no row of {name} of organizations of which production has some from before it began: {}",
            first_of(&of, NAMED_MAX)
        ));
    }
    if !fewer.is_empty() {
        found.push(format!(
            "holds fewer rows of {name} than production has from before it began, of the organizations {}",
            first_of(&texts(&fewer), NAMED_MAX)
        ));
    }
    (found, None)
}

/// How many entries of an organization are missing.
struct Lacking<'a> {
    org: &'a str,
    count: u64,
    of: u64,
    /// Whether it has none at all.
    is_all: bool,
    /// The first day of which some are missing, and of how many days; none where that is not told.
    days: Option<(NaiveDate, usize)>,
}

impl<'a> Lacking<'a> {
    fn of(
        (org, theirs): (&'a String, &BTreeMap<NaiveDate, u64>),
        owners: &Owners,
        entries: &BTreeMap<String, u64>,
    ) -> Option<Self> {
        let of = theirs.values().sum();
        let found = entries.get(org).copied().unwrap_or_default();
        let (count, days) = match &owners.days {
            None => (u64::saturating_sub(of, found), None),
            Some(days) => {
                let nothing = BTreeMap::new();
                let ours = days.get(org).unwrap_or(&nothing);
                let fewer = theirs.iter().filter_map(|(day, count)| {
                    let fewer = count.saturating_sub(ours.get(day).copied().unwrap_or_default());
                    (fewer > 0).then_some((*day, fewer))
                });
                let fewer: Vec<(NaiveDate, u64)> = fewer.collect();
                (
                    fewer.iter().map(|(_, fewer)| fewer).sum(),
                    fewer.first().map(|(day, _)| (*day, fewer.len())),
                )
            }
        };
        (count > 0).then_some(Self { org, count, of, is_all: found == 0, days })
    }
}

/// The words for each.
fn texts(lacking: &[Lacking<'_>]) -> Vec<String> {
    let text = |Lacking { org, count, of, days, .. }: &Lacking<'_>| match days {
        Some((day, 1)) => format!("{org} ({count} of {of}, of {day})"),
        Some((day, days)) => format!("{org} ({count} of {of}, of {days} days from {day} on)"),
        None => format!("{org} ({count} of {of})"),
    };
    lacking.iter().map(text).collect()
}

/// How many entries are missing whosever they are; none where the dump does not tell their days.
fn lost(theirs: &EntryDays, owners: &Owners) -> Option<u64> {
    let by_day = |days: &EntryDays| {
        let mut sums: BTreeMap<NaiveDate, u64> = BTreeMap::new();
        for (day, count) in days.values().flatten() {
            *sums.entry(*day).or_default() += count;
        }
        sums
    };
    let ours = by_day(owners.days.as_ref()?);
    let fewer = by_day(theirs).into_iter();
    Some(fewer.map(|(day, count)| count.saturating_sub(ours.get(&day).copied().unwrap_or_default())).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(of: &[(&str, u32, u64)]) -> EntryDays {
        let mut days = EntryDays::new();
        for (org, day, count) in of {
            let day = NaiveDate::from_ymd_opt(2026, 1, *day).unwrap();
            days.entry((*org).to_owned()).or_default().insert(day, *count);
        }
        days
    }

    fn compared(theirs: &[(&str, u32, u64)], ours: &[(&str, u32, u64)]) -> (Vec<String>, Option<String>) {
        let ours = days(ours);
        let entries = ours.iter().map(|(org, days)| (org.clone(), days.values().sum())).collect();
        let owners = Owners { entries: Some(entries), days: Some(ours), ..Owners::default() };
        compare("moves", &days(theirs), &owners)
    }

    #[test]
    fn what_is_missing_is_counted_by_organization_and_day() {
        let theirs = [("a", 1, 5), ("a", 2, 5), ("b", 1, 3)];
        assert_eq!(compared(&theirs, &theirs), (Vec::new(), None));
        // More of another day is no help.
        let (found, _) = compared(&theirs, &[("a", 1, 4), ("a", 2, 9), ("b", 1, 3)]);
        assert!(found[0].ends_with("of the organizations a (1 of 10, of 2026-01-01)"), "{found:?}");
        let (found, _) = compared(&theirs, &[("a", 1, 4), ("a", 2, 2)]);
        assert!(found[0].ends_with("from before it began: b (3)"), "{found:?}");
        assert!(found[1].ends_with("a (4 of 10, of 2 days from 2026-01-01 on)"), "{found:?}");
    }

    #[test]
    fn what_was_moved_since_is_not_lost() {
        let (found, note) = compared(&[("a", 1, 5), ("b", 1, 3)], &[("b", 1, 8)]);
        assert!(found.is_empty() && note.unwrap().ends_with("of the same days: a (5 of 5, of 2026-01-01)"));
    }
}
