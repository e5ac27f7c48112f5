//! What applications do, in transactions of one statement.

use crate::{
    database::{By, Database, EDITED, Entry, KEYS, Mark, OTHER, UNNUMBERED, Xid},
    protocol::Protocol,
    rules::Rule,
};

/// How far a writer's transaction is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Writer {
    Idle,
    /// It has written under its number, and marked these keys.
    Written(Xid, Write, [bool; KEYS]),
    Over,
}

/// A statement. Those of a session that is a replica's fire no trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    Insert(usize),
    /// The entry names a transaction that is not its own.
    InsertForeign,
    /// Makes an entry one more.
    Update(usize),
    /// Makes an entry another key's.
    Move(usize),
    Delete(usize),
    ReplicaInsert,
    ReplicaUpdate(usize),
    /// Makes one entry more and another one less.
    ReplicaShift,
}

/// What each writer may do; the last one is a replica.
const WRITES: [&[Write]; 3] = [
    &[Write::Insert(EDITED), Write::InsertForeign, Write::Move(1)],
    &[Write::Update(1), Write::Update(2), Write::Delete(2)],
    &[Write::ReplicaInsert, Write::ReplicaUpdate(1), Write::ReplicaUpdate(2), Write::ReplicaShift],
];

impl Write {
    /// What writer number `writer` may do.
    pub(crate) fn all(writer: usize) -> &'static [Self] {
        WRITES[writer]
    }

    fn is_replica(self) -> bool {
        matches!(self, Self::ReplicaInsert | Self::ReplicaUpdate(_) | Self::ReplicaShift)
    }

    fn is_insert(self) -> bool {
        matches!(self, Self::Insert(_) | Self::InsertForeign | Self::ReplicaInsert)
    }

    /// The entries that it changes, as they become.
    fn changes(self, database: &Database, writer: usize, xid: Xid) -> Vec<(usize, Option<Entry>)> {
        let old = |id: usize, change: fn(Entry) -> Option<Entry>| {
            database.entries[id].map(|entry| (id, change(entry))).into_iter().collect()
        };
        let new = |key, tx| vec![(2 + writer, Some(Entry { key, quantity: 1, tx }))];
        let more = |entry: Entry| Some(Entry { quantity: entry.quantity + 1, ..entry });
        let less = |entry: Entry| Some(Entry { quantity: entry.quantity - 1, ..entry });
        match self {
            Self::Insert(key) => new(key, xid),
            Self::ReplicaInsert => new(EDITED, xid),
            Self::InsertForeign => new(EDITED, UNNUMBERED),
            Self::Update(id) | Self::ReplicaUpdate(id) => old(id, more),
            Self::Move(id) => old(id, |entry| Some(Entry { key: OTHER, ..entry })),
            Self::Delete(id) => old(id, |_| None),
            Self::ReplicaShift => {
                let both: [Vec<_>; 2] = [old(0, more), old(1, less)];
                if both.iter().all(|changes| !changes.is_empty()) { both.concat() } else { Vec::new() }
            }
        }
    }

    /// Which keys the trigger marks.
    fn marks(self, protocol: Protocol, database: &Database, writer: usize, xid: Xid) -> [bool; KEYS] {
        let mut marks = [false; KEYS];
        if self.is_replica() {
            return marks;
        }
        let watermark = database.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.watermark);
        for (id, after) in self.changes(database, writer, xid) {
            if self.is_insert() {
                if let Some(entry) = after {
                    marks[entry.key] |= entry.tx != xid && protocol.keeps(Rule::MarksForeignTransaction);
                }
                continue;
            }
            let before = database.entries[id];
            let is_old = before.is_some_and(|entry| entry.tx < watermark);
            if !is_old && !protocol.keeps(Rule::MarksWhateverAge) {
                continue;
            }
            let leaves = before.filter(|_| after.is_none() || protocol.keeps(Rule::MarksBothKeys));
            for entry in leaves.into_iter().chain(after) {
                marks[entry.key] = true;
            }
        }
        marks
    }

    /// What it does to the balances.
    fn delta(self, database: &Database, writer: usize, xid: Xid) -> [i8; KEYS] {
        let mut delta = [0; KEYS];
        if !self.is_replica() {
            for (id, after) in self.changes(database, writer, xid) {
                for (entry, sign) in [(database.entries[id], -1), (after, 1)] {
                    if let Some(entry) = entry {
                        delta[entry.key] += sign * entry.quantity;
                    }
                }
            }
        }
        delta
    }
}

impl Writer {
    /// Its number, while it is under way.
    pub(crate) fn xid(&self) -> Option<Xid> {
        match self {
            Self::Written(xid, ..) => Some(*xid),
            Self::Idle | Self::Over => None,
        }
    }

    /// Whether it holds the row of `key`'s balance.
    pub(crate) fn holds(&self, database: &Database, writer: usize, key: usize) -> bool {
        match self {
            Self::Written(xid, write, _) => write.delta(database, writer, *xid)[key] != 0,
            _ => false,
        }
    }

    /// The entries that it has changed.
    fn locked(&self, database: &Database, writer: usize) -> Vec<usize> {
        match self {
            Self::Written(xid, write, _) => {
                write.changes(database, writer, *xid).into_iter().map(|(id, _)| id).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Writer number `writer` after `write` under the number `xid`, unless there is nothing to write or it must wait.
pub(crate) fn write(
    protocol: Protocol,
    database: &Database,
    writers: &[Writer],
    (writer, xid): (usize, Xid),
    write: Write,
) -> Option<Writer> {
    let changes = write.changes(database, writer, xid);
    let delta = write.delta(database, writer, xid);
    let waits = writers.iter().enumerate().any(|(number, other)| {
        let locked = other.locked(database, number);
        changes.iter().any(|(id, _)| locked.contains(id))
            || (0..KEYS).any(|key| delta[key] != 0 && other.holds(database, number, key))
    });
    let marks = write.marks(protocol, database, writer, xid);
    (!changes.is_empty() && !waits).then_some(Writer::Written(xid, write, marks))
}

/// Commits what writer number `writer` wrote. Which keys that disturbed: their sides no longer move together.
pub(crate) fn commit(database: &mut Database, state: &Writer, writer: usize) -> [bool; KEYS] {
    let mut disturbed = [false; KEYS];
    let Writer::Written(xid, write, marks) = state else { return disturbed };
    let delta = write.delta(database, writer, *xid);
    for key in 0..KEYS {
        database.balances[key] += delta[key];
        if marks[key] {
            database.marks.insert(Mark { key: Some(key), by: By::Trigger(*xid) });
        }
    }
    for (id, after) in write.changes(database, writer, *xid) {
        let before = std::mem::replace(&mut database.entries[id], after);
        if let (true, Some(entry)) = (write.is_replica(), before.or(after)) {
            disturbed[entry.key] = true;
            if !write.is_insert() {
                database.truth.changed[entry.key] |= 1 << entry.tx;
            }
        }
    }
    disturbed
}
