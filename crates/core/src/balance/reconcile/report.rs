//! What a reconciliation saw and did, and how it is told.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Backdated, BrokenPart, ClosedPeriod, Correction, NegativeBalance, NewClosing, Options, Snapshot,
};
use crate::{
    alert::Deliveries,
    balance::{self, GonePartition, State, checkpoint::FullReason},
    history::{Findings, RunId},
    ledger::{BalanceKey, Discrepancy, Kind, Quantity},
    model::Model,
    org_id::OrgId,
    timestamp::Timestamp,
};

/// How many differences a report lists; all of them are in `stockfoil.finding`.
pub const LISTED_MAX: usize = 1000;

/// How many keys an alert names.
pub(super) const ALERTED_KEYS_MAX: usize = 10;

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// Its quantity; none where it has none.
    pub quantity: Option<Quantity>,
    /// When it was made, where the ledger says.
    pub created_at: Option<Timestamp>,
}

/// A difference with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// What it is.
    pub kind: Kind,
    /// Both sides.
    #[serde(flatten)]
    pub discrepancy: Discrepancy,
    /// The ledger's side minus the balance.
    pub drift: Quantity,
    /// The key as `--explain` takes it.
    pub key: String,
    /// Whether this run mended it, or would have done so in a dry run.
    pub repaired: bool,
    /// The newest entries of its key, for the first of those that a person must look at.
    pub newest_entries: Vec<Entry>,
    /// Why those can't be told.
    pub entries_error: Option<String>,
    /// What the server said where it refused to correct the balance.
    pub repair_error: Option<String>,
    /// Why it could not be entered into the ledger, where that was asked for.
    pub not_entered: Option<String>,
    /// Whether this run corrected the balance and then read that it still differs; the quantities are those after it.
    pub still_differs: bool,
    /// Whether nothing corrects it because closed entries of its key went with a partition.
    pub is_held: bool,
    /// Whether it is a row that lacks its item or its location, so that no entry can be its.
    #[serde(skip)]
    pub is_keyless: bool,
}

/// Differences that a person must look at.
#[derive(Debug, Clone, Default)]
pub struct Unresolved {
    /// How many.
    pub count: u64,
    /// How many of them `--fix-large` corrects.
    pub correctable: u64,
    /// How many of them are rows that lack their item or their location.
    pub keyless: u64,
    /// How many of them nothing corrects because closed entries went with a partition.
    pub held: u64,
    /// The first keys in words.
    pub(super) keys: Vec<String>,
}

/// How many differences there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Below the tolerance.
    pub small: u64,
    /// The tolerance or more.
    pub large: u64,
    /// Balances that hold something though their key has no entry.
    pub orphan: u64,
    /// Keys with entries but without a balance.
    pub missing: u64,
    /// Keys with an entry that is no number.
    pub not_a_number: u64,
    /// Balances of zero whose key has no entry: in order, and no finding. None where a run did not compare every key.
    pub empty: Option<u64>,
}

/// A key whose sealed entries were changed without the triggers seeing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedHistory {
    /// The key.
    #[serde(flatten)]
    pub key: BalanceKey,
    /// What the entries add up to now; none where all of them are gone.
    pub ledger_qty: Option<Quantity>,
    /// What they added up to when they were sealed; none where there were none.
    pub sealed_qty: Option<Quantity>,
}

impl From<(BalanceKey, Option<Quantity>, Option<Quantity>)> for ChangedHistory {
    fn from((key, ledger_qty, sealed_qty): (BalanceKey, Option<Quantity>, Option<Quantity>)) -> Self {
        Self { key, ledger_qty, sealed_qty }
    }
}

/// What a reconciliation saw and did.
#[derive(Debug, Clone, Serialize)]
pub struct ReconcileReport {
    /// Whether it only looked.
    pub dry_run: bool,
    /// The run in `stockfoil.run`; none in a dry run.
    pub run_id: Option<RunId>,
    /// What counted as small.
    pub tolerance: Quantity,
    /// How many balances were compared.
    pub balances: u64,
    /// How many keys differ, by kind.
    pub differences: Counts,
    /// How many of them were mended, or would be in a dry run.
    pub repaired: u64,
    /// How many of them a person must look at.
    pub unresolved: u64,
    /// What was entered into the ledger, or would be in a dry run; none where that was not asked for.
    pub correction: Option<Correction>,
    /// How many empty rows were removed, or would be in a dry run.
    pub pruned: u64,
    /// How many deltas that writers had put aside were folded into their balances first.
    pub folded_deltas: u64,
    /// The balances' table, where it was there before Stockfoil: its rows are the application's, and none is removed.
    pub adopted: Option<String>,
    /// What changed in `stockfoil.finding`.
    pub findings: Findings,
    /// The organizations that were compared; none: all.
    pub compared: Option<Vec<OrgId>>,
    /// Which transactions were over when the comparison began; none in a dry run.
    pub snapshot: Option<Snapshot>,
    /// Organizations that were left out because they were never backfilled.
    pub not_backfilled: Vec<OrgId>,
    /// Functions and triggers that are not as they should be.
    pub broken_parts: Vec<BrokenPart>,
    /// Partitions without triggers of their own: what is written straight into them is counted by nobody.
    pub uncovered_partitions: Vec<String>,
    /// Why every entry was read; none when only new entries and changed keys were.
    pub full: Option<FullReason>,
    /// How many keys were summed again because their entries were updated or deleted.
    pub marked_keys: u64,
    /// How many organizations' whole history was summed again.
    pub verified_organizations: u64,
    /// How many keys' sealed entries were changed without the triggers seeing it.
    pub changed_history: u64,
    /// How many findings of changed history are open, those of earlier runs included.
    pub open_history: u64,
    /// Those keys; at most [`LISTED_MAX`].
    pub listed_history: Vec<ChangedHistory>,
    /// How many balances are below zero where none may be; none where all may.
    pub negative: Option<u64>,
    /// Those balances; at most [`LISTED_MAX`].
    pub listed_negative: Vec<NegativeBalance>,
    /// What is closed; none where nothing is.
    pub closed: Option<ClosedPeriod>,
    /// How many keys have other entries in the closed period than were closed; none where that can't be told.
    pub backdated: Option<u64>,
    /// Those keys; at most [`LISTED_MAX`].
    pub listed_backdated: Vec<Backdated>,
    /// Closed partitions that are none of the ledger's any more, where closed entries are missing.
    pub gone_partitions: Vec<GonePartition>,
    /// What this run closed; none where that was not asked for.
    pub closing: Option<NewClosing>,
    /// When a run last ended clean.
    pub last_clean: Option<DateTime<Utc>>,
    /// The differences, unresolved ones first; at most [`LISTED_MAX`].
    pub listed: Vec<Listed>,
    /// The alerts, with what became of them.
    pub alerts: Deliveries,
    /// How long the comparison took, in ms.
    pub compare_ms: u64,
    /// How many findings of changed history are open, whatever was compared.
    #[serde(skip)]
    pub(super) open_history_of_all: u64,
    /// Whether a row can be made for a key that has none.
    #[serde(skip)]
    pub(super) makes_rows: bool,
    /// How many differences may be mended.
    #[serde(skip)]
    pub(super) repairable: u64,
    /// How many unresolved differences each organization has, with the first keys in words.
    #[serde(skip)]
    pub(super) by_org: BTreeMap<OrgId, Unresolved>,
}

impl ReconcileReport {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            dry_run: options.dry_run,
            run_id: None,
            tolerance: options.tolerance.clone(),
            balances: 0,
            differences: Counts::default(),
            repairable: 0,
            repaired: 0,
            unresolved: 0,
            correction: None,
            pruned: 0,
            folded_deltas: 0,
            adopted: None,
            findings: Findings::default(),
            compared: None,
            snapshot: None,
            open_history_of_all: 0,
            makes_rows: true,
            not_backfilled: Vec::new(),
            broken_parts: Vec::new(),
            uncovered_partitions: Vec::new(),
            full: None,
            marked_keys: 0,
            verified_organizations: 0,
            changed_history: 0,
            open_history: 0,
            listed_history: Vec::new(),
            negative: None,
            listed_negative: Vec::new(),
            closed: None,
            backdated: None,
            listed_backdated: Vec::new(),
            gone_partitions: Vec::new(),
            closing: None,
            last_clean: None,
            listed: Vec::new(),
            alerts: Deliveries::default(),
            compare_ms: 0,
            by_org: BTreeMap::new(),
        }
    }

    /// Takes note of what is not as it should be before anything is compared.
    pub(super) fn note_parts(
        &mut self,
        model: &Model,
        broken: Vec<(balance::Kind, String, State)>,
        not_backfilled: Vec<OrgId>,
    ) {
        self.adopted = model.balances.is_adopted.then(|| model.balances.table.plain());
        self.makes_rows = model.balances.makes_rows;
        self.not_backfilled = not_backfilled;
        self.broken_parts = broken.into_iter().map(BrokenPart::from).collect();
    }

    /// What a person must look at, of all organizations.
    pub fn to_look_at(&self) -> Unresolved {
        self.by_org.values().fold(Unresolved::default(), |mut all, of_org| {
            all.count += of_org.count;
            all.correctable += of_org.correctable;
            all.keyless += of_org.keyless;
            all.held += of_org.held;
            all
        })
    }

    /// What a person does about `unresolved`, a line each.
    pub fn next_steps(&self, unresolved: &Unresolved) -> Vec<String> {
        let mut steps = Vec::new();
        if unresolved.held > 0 {
            steps.push(GonePartition::remedy(&self.gone_partitions));
        }
        if unresolved.correctable > 0 {
            steps.push(
                "find the cause (reconcile-balances --explain KEY), then correct the balances from the ledger: reconcile-balances --fix-large"
                    .to_owned(),
            );
            steps.push(
                "or, where a balance is right and the ledger lost something, the ledger: reconcile-balances --fix-by-entry REASON --key KEY"
                    .to_owned(),
            );
        }
        if unresolved.keyless > 0 {
            let rows =
                if unresolved.keyless == 1 { "1 row".into() } else { format!("{} rows", unresolved.keyless) };
            let table = self.adopted.as_deref().unwrap_or("the balances");
            steps.push(format!(
                "{rows} of {table} without an item or a location: no entry is theirs and --fix-large leaves them alone; give each its key in {table}, or set its quantity to 0, or delete it"
            ));
        }
        if unresolved.count > unresolved.correctable + unresolved.keyless + unresolved.held {
            steps.push(
                "what is no number, has no row that could be made, or differs though it was corrected, no repair mends: make or correct the row itself, or the entry"
                    .to_owned(),
            );
        }
        steps
    }

    /// Forgets the differences, for a new comparison.
    pub(super) fn forget_differences(&mut self) {
        self.differences = Counts::default();
        (self.repairable, self.unresolved) = (0, 0);
        self.listed.clear();
        self.by_org.clear();
    }

    /// Counts one difference.
    pub(super) fn count(&mut self, kind: Kind) {
        let counts = &mut self.differences;
        match kind {
            Kind::None => {}
            Kind::Small => counts.small += 1,
            Kind::Large => counts.large += 1,
            Kind::Orphan => counts.orphan += 1,
            Kind::Missing => counts.missing += 1,
            Kind::NotANumber => counts.not_a_number += 1,
        }
    }

    /// Counts one difference, and lists it where there is room: unresolved ones come before repaired ones.
    pub(super) fn add(&mut self, kind: Kind, discrepancy: Discrepancy, is_whole: bool, repaired: bool) {
        self.count(kind);
        if kind == Kind::None {
            return;
        }
        let listed = Listed { repaired, is_keyless: !is_whole, ..Listed::of(kind, discrepancy) };
        if repaired {
            self.repairable += 1;
            if self.listed.len() < LISTED_MAX {
                self.listed.push(listed);
            }
            return;
        }
        self.list_unresolved(listed);
    }

    /// Lists a difference that is left alone, since what its ledger lacks went with a closed partition.
    pub(super) fn hold(&mut self, kind: Kind, discrepancy: Discrepancy) {
        self.count(kind);
        if kind != Kind::None {
            self.list_unresolved(Listed { is_held: true, ..Listed::of(kind, discrepancy) });
        }
    }

    /// Takes note that a difference that was to be mended is there all the same, as `discrepancy`, and what the server said
    /// where it refused to write it.
    pub(super) fn not_mended(&mut self, kind: Kind, discrepancy: Discrepancy, repair_error: Option<String>) {
        self.repaired = self.repaired.saturating_sub(1);
        self.listed.retain(|listed| listed.discrepancy.key != discrepancy.key);
        let differs = Listed { repair_error, still_differs: true, ..Listed::of(kind, discrepancy) };
        self.list_unresolved(differs);
    }

    /// Lists a difference that was to be entered into the ledger and could not be.
    pub(super) fn not_entered(&mut self, kind: Kind, discrepancy: Discrepancy, why: String) {
        self.list_unresolved(Listed { not_entered: Some(why), ..Listed::of(kind, discrepancy) });
    }

    /// Counts a difference that a person must look at, and lists it before the repaired ones.
    fn list_unresolved(&mut self, listed: Listed) {
        self.unresolved += 1;
        let of_org = self.by_org.entry(listed.discrepancy.key.org_id.clone()).or_default();
        of_org.count += 1;
        if listed.is_keyless {
            of_org.keyless += 1;
        } else if listed.is_held {
            of_org.held += 1;
        } else if !listed.still_differs
            && listed.kind != Kind::NotANumber
            && (listed.discrepancy.balance_qty.is_some() || self.makes_rows)
        {
            of_org.correctable += 1;
        }
        if of_org.keys.len() < ALERTED_KEYS_MAX {
            of_org.keys.push(listed.sentence());
        }
        let place = self.listed.partition_point(|listed| !listed.repaired);
        if place < LISTED_MAX {
            self.listed.insert(place, listed);
            self.listed.truncate(LISTED_MAX);
        }
    }

    /// Whether balances of the organization `org` differ and were left alone.
    pub(super) fn differs(&self, org: &str) -> bool {
        self.by_org.keys().any(|id| id.as_str() == org)
    }

    /// The listed differences that a person must look at.
    pub(super) fn unresolved_mut(&mut self) -> impl Iterator<Item = &mut Listed> {
        self.listed.iter_mut().filter(|listed| !listed.repaired)
    }

    /// The numbers, for `stockfoil.run`.
    pub(super) fn summary(&self) -> serde_json::Value {
        serde_json::json!({
            "balances": self.balances,
            "tolerance": self.tolerance,
            "differences": self.differences,
            "repaired": self.repaired,
            "unresolved": self.unresolved,
            "pruned": self.pruned,
            "folded_deltas": self.folded_deltas,
            "correction": self.correction.as_ref().map(|Correction { reason, role, entered, .. }| {
                serde_json::json!({ "reason": reason, "role": role, "entered": entered })
            }),
            "findings": self.findings,
            "compared": self.compared,
            "snapshot": self.snapshot,
            "not_backfilled": self.not_backfilled,
            "broken_parts": self.broken_parts,
            "full": self.full,
            "marked_keys": self.marked_keys,
            "verified_organizations": self.verified_organizations,
            "changed_history": self.changed_history,
            "open_history": self.open_history,
            "negative": self.negative,
            "closed": self.closed,
            "backdated": self.backdated,
            "gone_partitions": self.gone_partitions,
            "closing": self.closing,
            "compare_ms": self.compare_ms,
        })
    }
}

impl Listed {
    fn of(kind: Kind, discrepancy: Discrepancy) -> Self {
        Self {
            kind,
            drift: discrepancy.drift(),
            key: discrepancy.key.to_string(),
            discrepancy,
            repaired: false,
            newest_entries: Vec::new(),
            entries_error: None,
            repair_error: None,
            not_entered: None,
            still_differs: false,
            is_held: false,
            is_keyless: false,
        }
    }

    /// The difference in words.
    fn sentence(&self) -> String {
        let Discrepancy { key, ledger_qty, balance_qty } = &self.discrepancy;
        let side = |quantity: &Option<Quantity>, none: &str| {
            quantity.as_ref().map_or_else(|| none.to_owned(), ToString::to_string)
        };
        format!(
            "{}: {key}: ledger {}, balance {}{}",
            self.kind,
            side(ledger_qty, "has no entry"),
            side(balance_qty, "is missing"),
            match &self.repair_error {
                Some(error) => format!(", and could not be corrected: {error}"),
                None if self.still_differs => ", though it was just corrected".to_owned(),
                None => String::new(),
            }
        )
    }
}
