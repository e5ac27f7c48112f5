//! What a reconciliation does: look, compare and seal, record, repair.

use crate::{
    database::{By, Checkpoint, Database, Entries, KEYS, Mark, OTHER, Sealed, UNNUMBERED, Xid, seal, sum},
    protocol::{Protocol, Wrong},
    rules::Rule,
};

/// What a run reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// What is new or marked.
    New,
    /// The same, and it is the organizations' turn.
    Turn,
    /// Every entry.
    Full,
    /// Every entry of one organization.
    Partial,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::New, Self::Turn, Self::Full, Self::Partial];

    fn compares(self, key: usize) -> bool {
        self != Self::Partial || key == OTHER
    }
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Run {
    Idle,
    /// It has the lock, and knows in which file the ledger is; and what it is to read, where it compares again.
    Begun(u8, Option<Kind>),
    Looking(Box<Look>),
    /// Its sums are committed and its watermark is not: only where a rule is left out.
    Half(Checkpoint, Found),
    Compared(Found),
    Repairing(Found),
    /// It was killed, and its last statement goes on: only where a rule is left out.
    Lingering(Found),
    Over,
}

/// A run with its snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Look {
    /// What it is to read; nothing: that makes no difference yet.
    pub(crate) kind: Option<Kind>,
    pub(crate) file: u8,
    pub(crate) database: Database,
    /// The watermark to come.
    pub(crate) next: Xid,
    pub(crate) disturbed: [bool; KEYS],
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) file: u8,
    /// What is lacking of each key's balance; none where it is right, or not compared any more.
    pub(crate) drift: [Option<i8>; KEYS],
    /// What the entries were summed to.
    sums: [i8; KEYS],
    /// Which keys the snapshot itself has wrong.
    was_wrong: [bool; KEYS],
    /// Whether a change of history is still to be recorded.
    pub(crate) owes_history: bool,
    /// Which keys something changed past the triggers since the snapshot.
    pub(crate) disturbed: [bool; KEYS],
}

impl Run {
    /// Whether it holds the lock.
    pub(crate) fn is_active(&self) -> bool {
        !matches!(self, Self::Idle | Self::Lingering(_) | Self::Over)
    }

    pub(crate) fn disturb(&mut self, keys: [bool; KEYS]) {
        let disturbed = match self {
            Self::Looking(look) => &mut look.disturbed,
            Self::Half(_, found)
            | Self::Compared(found)
            | Self::Repairing(found)
            | Self::Lingering(found) => &mut found.disturbed,
            Self::Idle | Self::Begun(..) | Self::Over => return,
        };
        for (disturbed, is_disturbed) in disturbed.iter_mut().zip(keys) {
            *disturbed |= is_disturbed;
        }
    }
}

/// A comparison on its way from a snapshot to what is committed.
struct Comparison<'a> {
    protocol: Protocol,
    kind: Kind,
    look: &'a Look,
    /// The ledger as its file has it: emptied for every snapshot once it was truncated.
    entries: Entries,
    balances: [i8; KEYS],
    /// How far was sealed; none where it can't be built on.
    before: Option<&'a Checkpoint>,
}

/// Compares and seals. What was found, and what went wrong by that.
pub(crate) fn compare(
    protocol: Protocol,
    (run, kind): (usize, Kind),
    look: &Look,
    database: &mut Database,
) -> (Run, Option<Wrong>) {
    let snapshot = &look.database;
    let before = snapshot.checkpoint.as_ref().filter(|checkpoint| {
        let is_same = checkpoint.file == look.file || !protocol.keeps(Rule::KnowsFile);
        is_same && !snapshot.is_all_marked()
    });
    let comparison = Comparison {
        protocol,
        kind,
        look,
        entries: if database.file == snapshot.file { snapshot.entries } else { [None; 5] },
        balances: if protocol.keeps(Rule::OneSnapshot) { snapshot.balances } else { database.balances },
        before,
    };
    let sealed = [0, 1].map(|key| comparison.seal(key));
    let drift = [0, 1].map(|key| comparison.drift(key, sealed[key]));
    let history = [0, 1].map(|key| comparison.finds_history(key));
    let wrong = comparison.judge(drift, history, database.file);
    let is_sealing = kind != Kind::Partial;
    let found = Found {
        kind,
        file: look.file,
        drift,
        sums: [0, 1].map(|key| sum(&comparison.entries, key)),
        was_wrong: [0, 1].map(|key| snapshot.is_wrong(key) && database.file == snapshot.file),
        owes_history: history.contains(&true) && !protocol.keeps(Rule::RecordsHistoryWithSeal),
        disturbed: look.disturbed,
    };
    comparison.mark(run, drift, sealed, database);
    comparison.learn(drift, database);
    if !is_sealing {
        return (found.told(database), wrong);
    }
    let checkpoint = Checkpoint { watermark: look.next, file: look.file, sealed };
    if protocol.keeps(Rule::SealIsWhole) || database.checkpoint.is_none() {
        database.checkpoint = Some(checkpoint);
        return (found.told(database), wrong);
    }
    if let Some(committed) = &mut database.checkpoint {
        committed.sealed = sealed;
    }
    (Run::Half(checkpoint, found), wrong)
}

impl Comparison<'_> {
    /// Whether all entries of `key` are summed.
    fn is_summed_again(&self, key: usize) -> bool {
        let snapshot = &self.look.database;
        let is_turn = self.kind == Kind::Turn && self.protocol.keeps(Rule::SumsInTurn);
        let is_open = snapshot.findings[key] && self.protocol.keeps(Rule::KeepsFindingsInView);
        is_turn || is_open || snapshot.is_marked(key)
    }

    /// What is sealed of `key` from now on.
    fn seal(&self, key: usize) -> Sealed {
        let next = self.look.next;
        let is_old = |tx: Xid| {
            let is_unnumbered = tx == UNNUMBERED && !self.protocol.keeps(Rule::SealsUnnumbered);
            tx < next && !is_unnumbered
        };
        let Some(before) = self.before else {
            return match self.protocol.keeps(Rule::SealsBelowWatermark) {
                true => seal(&self.entries, key, is_old),
                false => seal(&self.entries, key, |_| true),
            };
        };
        if self.is_summed_again(key) && self.protocol.keeps(Rule::ResealsMarked) {
            return seal(&self.entries, key, |tx| tx < next);
        }
        let new = seal(&self.entries, key, |tx| (before.watermark..next).contains(&tx));
        let sealed = before.sealed[key];
        Sealed { sum: sealed.sum + new.sum, hash: sealed.hash ^ new.hash }
    }

    /// What the balance of `key` lacks, as far as this run can tell.
    fn drift(&self, key: usize, sealed: Sealed) -> Option<i8> {
        let all = sum(&self.entries, key) - self.balances[key];
        let pending = seal(&self.entries, key, |tx| tx >= self.look.next).sum;
        let seeming = sealed.sum + pending - self.balances[key];
        let is_resealed = self.is_summed_again(key) && !self.protocol.keeps(Rule::ResealsMarked);
        let drift = match (self.kind, self.before) {
            (Kind::Partial, _) => all,
            (_, None) => seeming,
            (Kind::Full, _) => all,
            _ if is_resealed => all,
            _ if seeming == 0 => 0,
            _ if self.protocol.keeps(Rule::Confirms) => all,
            _ => seeming,
        };
        (drift != 0 && self.kind.compares(key)).then_some(drift)
    }

    /// Whether sealed entries of `key` are seen not to be those that were sealed.
    fn finds_history(&self, key: usize) -> bool {
        let tells_apart = self.protocol.keeps(Rule::TellsMarksApart);
        let is_explained = self.look.database.is_changed(key, tells_apart);
        self.is_summed_again(key)
            && !is_explained
            && self.has_other_history(key, self.protocol.keeps(Rule::KeepsHash))
    }

    fn has_other_history(&self, key: usize, by_hash: bool) -> bool {
        let Some(before) = self.before.filter(|_| self.kind != Kind::Partial) else { return false };
        let (now, then) = (seal(&self.entries, key, |tx| tx < before.watermark), before.sealed[key]);
        now.sum != then.sum || by_hash && now.hash != then.hash
    }

    /// Removes the marks that were seen, and marks what the next run must not believe.
    fn mark(&self, run: usize, drift: [Option<i8>; KEYS], sealed: [Sealed; KEYS], database: &mut Database) {
        let look = self.look;
        if self.kind != Kind::Partial {
            match self.protocol.keeps(Rule::RemovesMarksSeen) {
                true => database.marks.retain(|mark| !look.database.marks.contains(mark)),
                false => database.marks.clear(),
            }
        }
        let is_there = database.checkpoint.is_some() && (self.kind == Kind::Partial || self.before.is_some());
        for key in 0..KEYS {
            let pending = seal(&self.entries, key, |tx| tx >= look.next).sum;
            let seems_wrong = sealed[key].sum + pending != self.balances[key];
            let mark = match (self.kind, drift[key]) {
                (Kind::Full | Kind::Partial, Some(_)) => By::Different(run),
                (Kind::New | Kind::Turn, None) if seems_wrong => By::Unconfirmed(run),
                _ => continue,
            };
            let is_left_out = mark == By::Different(run) && !self.protocol.keeps(Rule::MarksDifferent);
            if is_there && !is_left_out {
                database.marks.insert(Mark { key: Some(key), by: mark });
            }
        }
    }

    /// Keeps account of what is known from here on.
    fn learn(&self, drift: [Option<i8>; KEYS], database: &mut Database) {
        let snapshot = &self.look.database;
        for key in (0..KEYS).filter(|key| self.kind.compares(*key)) {
            let is_as_seen = !self.look.disturbed[key] && database.file == snapshot.file;
            database.truth.seen[key] = drift[key].is_some() && is_as_seen;
            if self.kind == Kind::Partial {
                continue;
            }
            let summed = match self.before {
                Some(before) if !self.is_summed_again(key) => !((1 << before.watermark) - 1),
                _ => u8::MAX,
            };
            database.truth.changed[key] &= !(snapshot.truth.changed[key] & summed);
        }
    }

    /// Whether the promise of this run covers a difference of `key` as its snapshot has it: not where sealed history was
    /// changed past the triggers and nothing calls for a look.
    fn promises(&self, key: usize) -> bool {
        let snapshot = &self.look.database;
        let below = self.before.map_or(0, |before| (1 << before.watermark) - 1);
        let is_hidden = snapshot.truth.changed[key] & below != 0;
        let is_known = snapshot.truth.seen[key] || snapshot.is_marked(key);
        match self.kind {
            Kind::Partial => key == OTHER,
            Kind::Turn | Kind::Full => true,
            Kind::New => !is_hidden || is_known,
        }
    }

    /// What this run says wrongly. Of a ledger that was replaced it says nothing.
    fn judge(&self, drift: [Option<i8>; KEYS], history: [bool; KEYS], file: u8) -> Option<Wrong> {
        let snapshot = &self.look.database;
        let is_silent = file != self.look.file && self.protocol.keeps(Rule::LooksAtFileAgain);
        if is_silent || file != snapshot.file {
            return None;
        }
        for key in 0..KEYS {
            let is_wrong = snapshot.is_wrong(key);
            if drift[key].is_some() && !is_wrong {
                return Some(Wrong::FalseAlarm);
            }
            if drift[key].is_none() && is_wrong && !snapshot.findings[key] && self.promises(key) {
                return Some(Wrong::FalseMatch);
            }
            let is_forgotten = self.kind == Kind::Turn || self.is_summed_again(key);
            let is_explained = snapshot.is_changed(key, true);
            if is_forgotten && !is_explained && !history[key] && self.has_other_history(key, true) {
                return Some(Wrong::LostHistory);
            }
        }
        None
    }
}

impl Found {
    /// What follows: nothing where there is nothing to tell.
    pub(crate) fn told(self, database: &Database) -> Run {
        let is_same = self.file == database.file;
        let is_over =
            self.drift == [None; KEYS] && database.findings == [false; KEYS] && !self.owes_history && is_same;
        if is_over { Run::Over } else { Run::Compared(self) }
    }

    /// Opens findings and closes those that are gone.
    pub(crate) fn record(mut self, protocol: Protocol, database: &mut Database) -> (Run, Option<Wrong>) {
        if self.file != database.file && protocol.keeps(Rule::LooksAtFileAgain) {
            return (Run::Begun(database.file, Some(self.kind)), None);
        }
        self.owes_history = false;
        let mut wrong = None;
        for key in 0..KEYS {
            let is_compared = self.kind.compares(key) || !protocol.keeps(Rule::ClosesCompared);
            if self.drift[key].is_some() {
                database.findings[key] = true;
            } else if is_compared && std::mem::take(&mut database.findings[key]) && self.was_wrong[key] {
                wrong = Some(Wrong::FalseGone);
            }
        }
        (self.next(), wrong)
    }

    /// Repairs the first key that lacks something.
    pub(crate) fn repair(mut self, protocol: Protocol, database: &mut Database) -> (Run, Option<Wrong>) {
        if self.file != database.file && protocol.keeps(Rule::RepairKnowsFile) {
            return (Run::Begun(database.file, Some(self.kind)), None);
        }
        let Some((key, drift)) = self.lacking() else { return (Run::Over, None) };
        match protocol.keeps(Rule::RepairAdds) {
            true => database.balances[key] += drift,
            false => database.balances[key] = self.sums[key],
        }
        database.truth.seen[key] = false;
        self.drift[key] = None;
        let is_bad = database.is_wrong(key) && !self.disturbed[key];
        (self.next(), is_bad.then_some(Wrong::BadRepair))
    }

    /// The first key to repair, and what it lacks.
    pub(crate) fn lacking(&self) -> Option<(usize, i8)> {
        (0..KEYS).find_map(|key| self.drift[key].map(|drift| (key, drift)))
    }

    fn next(self) -> Run {
        if self.lacking().is_some() { Run::Repairing(self) } else { Run::Over }
    }
}
