//! What people are told of a reconciliation.

use super::{
    Backdated, Breakage, BrokenPart, COMMAND, NegativeBalance, Work,
    report::{ALERTED_KEYS_MAX, ChangedHistory, ReconcileReport},
};
use crate::{
    alert::{self, Alert, Round, Severity},
    balance::GonePartition,
    db::Db,
    ledger::Quantity,
};

/// How many organizations get an alert of their own; the others share one.
const ALERTED_ORGS_MAX: usize = 10;

/// The problem that triggers are not as they should be.
const TRIGGERS_KEY: &str = "triggers";

/// The problem that sealed entries were changed.
const HISTORY_KEY: &str = "history";

/// The problem that balances are below zero.
const NEGATIVE_KEY: &str = "negative";

/// The problem that closed entries were changed, or others made beside them.
const BACKDATED_KEY: &str = "backdated";

/// The problem that closed partitions are none of the ledger's any more.
const PARTITIONS_KEY: &str = "partitions";

/// The problem that organizations were never backfilled.
const NOT_BACKFILLED_KEY: &str = "not_backfilled";

/// The problem of those organizations that have no alert of their own.
const OTHERS_KEY: &str = "balances";

/// Before the id of an organization: the problem that its balances differ.
const ORG_KEY: &str = "balances/";

impl Work<'_> {
    /// Alerts those who are to know, also of what is over.
    pub(super) async fn tell(&mut self, db: &Db, alerts: &alert::Settings) {
        let round = Round {
            source: COMMAND,
            alerts: &self.report.messages(),
            looked_at: &|key| self.looked_at(key),
            on_end: &|_| Vec::new(),
            run_id: self.report.run_id.map(|run| run.0),
        };
        self.report.alerts = alert::send(alerts, Some(db), round).await;
    }

    /// Whether the problem that `key` names would have been seen, were it there.
    fn looked_at(&self, key: &str) -> bool {
        match key.strip_prefix(ORG_KEY) {
            None if key == TRIGGERS_KEY => true,
            // It is over when every organization that it was seen in was read again.
            None if key == HISTORY_KEY => self.report.open_history_of_all == 0,
            None if key == NOT_BACKFILLED_KEY => self.options.orgs.is_empty(),
            // Any organization may be among them.
            None => self.orgs.is_none(),
            // An organization that differs may have no alert of its own, where there are many.
            Some(org) if self.report.differs(org) => false,
            Some(org) => self.orgs.as_ref().is_none_or(|orgs| orgs.iter().any(|id| id.as_str() == org)),
        }
    }
}

impl ReconcileReport {
    /// What people must be told.
    fn messages(&self) -> Vec<Alert> {
        let mut messages = Vec::new();
        messages.extend(self.of_broken_parts());
        messages.extend(self.of_changed_history());
        messages.extend(self.of_gone_partitions());
        messages.extend(self.of_organizations());
        messages.extend(self.of_other_organizations());
        messages.extend(self.of_negative());
        messages.extend(self.of_backdated());
        messages.extend(self.of_not_backfilled());
        messages
    }

    fn alert(&self, severity: Severity, key: &str, summary: String, details: Vec<String>) -> Alert {
        let run_id = self.run_id.map(|run| run.0);
        Alert { source: COMMAND, severity, key: key.to_owned(), summary, details, run_id }
    }

    fn of_broken_parts(&self) -> Option<Alert> {
        let breakage = Breakage::of(&self.broken_parts)?;
        let details = self
            .broken_parts
            .iter()
            .map(|BrokenPart { kind, name, state, .. }| format!("{kind} {name} {state}"))
            .chain([breakage.remedy().to_owned()])
            .collect();
        let (severity, summary) = match breakage {
            Breakage::OtherFunctions => {
                (Severity::Warning, "the functions that keep the balances are not of this release")
            }
            Breakage::Uncounted => {
                (Severity::Critical, "balances are not kept any more: the ledger's triggers were changed")
            }
        };
        Some(self.alert(severity, TRIGGERS_KEY, summary.to_owned(), details))
    }

    fn of_changed_history(&self) -> Option<Alert> {
        // Told until it is over, also by runs that read other entries.
        let count = self.changed_history.max(self.open_history);
        if count == 0 {
            return None;
        }
        let side = |quantity: &Option<Quantity>| {
            quantity.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        let words = |history: &ChangedHistory| {
            let (now, sealed) = (side(&history.ledger_qty), side(&history.sealed_qty));
            format!("{}: now {now}, sealed {sealed}", history.key)
        };
        let mut details: Vec<String> = self.listed_history.iter().take(ALERTED_KEYS_MAX).map(words).collect();
        if count > details.len() as u64 {
            details.push(format!("{} more, see stockfoil.finding", keys(count - details.len() as u64)));
        }
        details.push(
            "Look for sessions that disabled triggers or wrote as a replica; reconcile-balances --explain KEY shows a key's entries."
                .into(),
        );
        let summary =
            format!("old ledger entries of {} were changed without the triggers seeing it", keys(count));
        Some(self.alert(Severity::Critical, HISTORY_KEY, summary, details))
    }

    fn of_organizations(&self) -> impl Iterator<Item = Alert> {
        self.by_org.iter().take(ALERTED_ORGS_MAX).map(|(org, unresolved)| {
            let (count, listed) = (unresolved.count, unresolved.keys.len() as u64);
            let mut details = unresolved.keys.clone();
            if count > listed {
                details.push(format!("and {} more, see stockfoil.finding", count - listed));
            }
            details.extend(self.next_steps(unresolved));
            let summary = format!("{} of organization {org} differ from the ledger", balances(count));
            self.alert(Severity::Critical, &format!("{ORG_KEY}{org}"), summary, details)
        })
    }

    fn of_other_organizations(&self) -> Option<Alert> {
        let others: Vec<_> = self.by_org.iter().skip(ALERTED_ORGS_MAX).collect();
        if others.is_empty() {
            return None;
        }
        let count = others.iter().map(|(_, unresolved)| unresolved.count).sum();
        let summary =
            format!("{} of {} more organizations differ from the ledger", balances(count), others.len());
        let details = vec!["See stockfoil.finding, or reconcile-balances --org.".to_owned()];
        Some(self.alert(Severity::Critical, OTHERS_KEY, summary, details))
    }

    fn of_negative(&self) -> Option<Alert> {
        let count = self.negative.filter(|count| *count > 0)?;
        let first = self.listed_negative.iter().take(ALERTED_KEYS_MAX);
        let mut details: Vec<String> =
            first.map(|negative| format!("{}: {}", negative.key, negative.balance_qty)).collect();
        if count > details.len() as u64 {
            details.push(format!("and {} more, see stockfoil.finding", count - details.len() as u64));
        }
        details.push(NegativeBalance::REMEDY.to_owned());
        let verb = if count == 1 { "is" } else { "are" };
        let summary = format!("{} {verb} below zero", balances(count));
        Some(self.alert(Severity::Warning, NEGATIVE_KEY, summary, details))
    }

    fn of_backdated(&self) -> Option<Alert> {
        let count = self.backdated.filter(|count| *count > 0)?;
        let mut details: Vec<String> =
            self.listed_backdated.iter().take(ALERTED_KEYS_MAX).map(Backdated::sentence).collect();
        if count > details.len() as u64 {
            details.push(format!("and {} more, see stockfoil.finding", count - details.len() as u64));
        }
        if self.gone_partitions.is_empty() {
            details.push(Backdated::REMEDY.to_owned());
        }
        let summary = format!("closed entries of {} were changed, or others made beside them", keys(count));
        Some(self.alert(Severity::Warning, BACKDATED_KEY, summary, details))
    }

    fn of_gone_partitions(&self) -> Option<Alert> {
        let gone = &self.gone_partitions;
        if gone.is_empty() {
            return None;
        }
        let of = |partition: &GonePartition| format!("{} {}", partition.name, partition.bounds);
        let mut details: Vec<String> = gone.iter().rev().take(ALERTED_KEYS_MAX).map(of).collect();
        details.push(GonePartition::remedy(gone));
        let summary = GonePartition::sentence(gone);
        Some(self.alert(Severity::Critical, PARTITIONS_KEY, summary, details))
    }

    fn of_not_backfilled(&self) -> Option<Alert> {
        if self.not_backfilled.is_empty() {
            return None;
        }
        let details = self
            .not_backfilled
            .iter()
            .take(ALERTED_KEYS_MAX)
            .map(|org| format!("organization {org}: run backfill-balances --org {org}"))
            .collect();
        let summary =
            format!("the balances of {} organizations were never backfilled", self.not_backfilled.len());
        Some(self.alert(Severity::Warning, NOT_BACKFILLED_KEY, summary, details))
    }
}

fn keys(count: u64) -> String {
    if count == 1 { "1 key".into() } else { format!("{count} keys") }
}

fn balances(count: u64) -> String {
    if count == 1 { "1 balance".into() } else { format!("{count} balances") }
}
