//! What is committed: the ledger, its balances, and what reconciliation keeps.

use std::collections::BTreeSet;

/// How many keys there are, each of an organization of its own.
pub(crate) const KEYS: usize = 2;

/// The key that is damaged and edited.
pub(crate) const EDITED: usize = 0;

/// The key whose organization alone a partial run looks at.
pub(crate) const OTHER: usize = 1;

/// A transaction's number.
pub(crate) type Xid = u8;

/// What an entry has that is older than the column.
pub(crate) const UNNUMBERED: Xid = 0;

/// The first transaction that begins in the model.
pub(crate) const FIRST_XID: Xid = 2;

/// An entry of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) key: usize,
    pub(crate) quantity: i8,
    pub(crate) tx: Xid,
}

/// The ledger, by the entries' ids: two old ones, and one of each writer.
pub(crate) type Entries = [Option<Entry>; 5];

/// What is sealed of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sealed {
    pub(crate) sum: i8,
    /// Without collisions, so that it stands for the count as well.
    pub(crate) hash: u32,
}

/// How far the ledger is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Checkpoint {
    pub(crate) watermark: Xid,
    pub(crate) file: u8,
    pub(crate) sealed: [Sealed; KEYS],
}

/// Who marked a key. It makes the mark's id as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum By {
    Trigger(Xid),
    Truncate,
    /// It saw the key differ.
    Different(usize),
    /// It saw a key that is right and not as it was sealed.
    Unconfirmed(usize),
}

/// A mark; without a key it is of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) key: Option<usize>,
    pub(crate) by: By,
}

/// What nobody in the database knows, and the promise is judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Truth {
    /// The transactions of whose entries some were changed past the triggers since they were last summed, as bits.
    pub(crate) changed: [u8; KEYS],
    /// Which keys a run saw differ, and that are as it saw them.
    pub(crate) seen: [bool; KEYS],
}

/// Everything that is committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    pub(crate) entries: Entries,
    pub(crate) balances: [i8; KEYS],
    /// In which file the ledger is.
    pub(crate) file: u8,
    pub(crate) marks: BTreeSet<Mark>,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Which keys have an open finding of a difference.
    pub(crate) findings: [bool; KEYS],
    pub(crate) truth: Truth,
}

impl Database {
    /// Old entries of one key, which are sealed or not.
    pub(crate) fn new(is_sealed: bool) -> Self {
        let mut entries = [None; 5];
        entries[0] = Some(Entry { key: EDITED, quantity: 2, tx: UNNUMBERED });
        entries[1] = Some(Entry { key: EDITED, quantity: -1, tx: 1 });
        let sealed = [0, 1].map(|key| seal(&entries, key, |_| true));
        Self {
            entries,
            balances: sealed.map(|sealed| sealed.sum),
            file: 0,
            marks: BTreeSet::new(),
            checkpoint: is_sealed.then_some(Checkpoint { watermark: FIRST_XID, file: 0, sealed }),
            findings: [false; KEYS],
            truth: Truth::default(),
        }
    }

    pub(crate) fn is_wrong(&self, key: usize) -> bool {
        sum(&self.entries, key) != self.balances[key]
    }

    pub(crate) fn is_marked(&self, key: usize) -> bool {
        self.marks.iter().any(|mark| mark.key == Some(key))
    }

    pub(crate) fn is_all_marked(&self) -> bool {
        self.marks.iter().any(|mark| mark.key.is_none())
    }

    /// Whether a trigger saw entries of `key` change, or is taken to have.
    pub(crate) fn is_changed(&self, key: usize, tells_apart: bool) -> bool {
        self.marks.iter().any(|mark| {
            let is_changed = match mark.by {
                By::Trigger(_) => true,
                By::Unconfirmed(_) => !tells_apart,
                By::Truncate | By::Different(_) => false,
            };
            mark.key == Some(key) && is_changed
        })
    }
}

/// What those entries of `key` come to whose transaction is one of `which`.
pub(crate) fn seal(entries: &Entries, key: usize, which: impl Fn(Xid) -> bool) -> Sealed {
    let mut sealed = Sealed::default();
    for (id, entry) in entries.iter().enumerate() {
        if let Some(entry) = entry
            && entry.key == key
            && which(entry.tx)
        {
            sealed.sum += entry.quantity;
            let sign = if entry.quantity < 0 { 12 } else { 4 };
            sealed.hash ^= u32::from(entry.quantity.unsigned_abs() + sign) << (5 * id);
        }
    }
    sealed
}

/// What all entries of `key` add up to.
pub(crate) fn sum(entries: &Entries, key: usize) -> i8 {
    seal(entries, key, |_| true).sum
}
