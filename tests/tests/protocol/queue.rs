//! The queue of deltas (`[balances] hot = "queue"`), as a model of its own: writers of one key, one of them in an older snapshot, who fold
//! what others have queued, a reader, and the end of the queue.

use std::collections::BTreeSet;

use stateright::{Model, Property};

/// A rule that writers, readers or migrations keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// A delta is queued in the transaction of its entry.
    QueuesWithTheEntry,
    /// What is queued goes and the row changes in one transaction.
    FoldsAtOnce,
    /// The row gets the sum of what was taken out of the queue, and not of what a snapshot showed there.
    AddsWhatItTook,
    /// A row that came meanwhile gets the delta, and is not written over.
    AddsToWhatCame,
    /// A reader takes the row and the queue of one snapshot.
    ReadsBothAtOnce,
    /// Who works in an older snapshot queues, whatever is free.
    QueuesInOldSnapshots,
    /// What is queued is folded before the queue goes.
    FoldsBeforeItGoes,
    /// The queue goes only when no writer has queued and not committed.
    WaitsForWhoQueues,
}

impl Rule {
    pub(crate) const ALL: [(Self, Wrong); 8] = [
        (Self::QueuesWithTheEntry, Wrong::Balance),
        (Self::FoldsAtOnce, Wrong::Balance),
        (Self::AddsWhatItTook, Wrong::Balance),
        (Self::AddsToWhatCame, Wrong::Balance),
        (Self::ReadsBothAtOnce, Wrong::Reading),
        (Self::QueuesInOldSnapshots, Wrong::Refused),
        (Self::FoldsBeforeItGoes, Wrong::Balance),
        (Self::WaitsForWhoQueues, Wrong::Balance),
    ];
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    /// Row and queue together are not what the entries add up to.
    Balance,
    /// A reader was told what the balance never was while it read.
    Reading,
    /// A writer was refused, since another had written.
    Refused,
}

impl Wrong {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Balance => "the row and the queue are the balance",
            Self::Reading => "a reader is told a balance of its time",
            Self::Refused => "no writer is refused for another's sake",
        }
    }
}

/// What each writer adds; the last one works in the snapshot with which it begins.
const DELTAS: [i8; 3] = [1, 2, 4];
const OLD: usize = 2;

/// Who folds and writes nothing, as one holder of the row among the writers.
const FOLDER: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Writer {
    Idle,
    /// It has its snapshot: whether there was a row, and how often that had changed.
    Begun(Option<u8>),
    /// It holds the row, and takes these writers' deltas out of the queue with its own.
    Holds(BTreeSet<usize>, i8),
    /// It makes the row.
    Makes,
    Queues,
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    row: Option<i8>,
    /// How often the row was changed.
    version: u8,
    queue: BTreeSet<usize>,
    has_queue: bool,
    writers: [Writer; 3],
    /// What the folder saw queued, and whether it holds the row and what it takes.
    seen: Option<BTreeSet<usize>>,
    folding: Option<(BTreeSet<usize>, i8)>,
    /// What it has taken out of the queue and not added yet.
    owed: i8,
    folds: u8,
    /// What the entries add up to.
    truth: i8,
    /// The row as the reader has read it, and the balances that there were since.
    reading: Option<(i8, BTreeSet<i8>)>,
    has_read: bool,
    wrong: Option<Wrong>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Begin(usize),
    Write(usize),
    Commit(usize),
    Abort(usize),
    Look,
    Fold,
    CommitFold,
    /// The second half of a fold that is none of one transaction.
    Add,
    Read,
    ReadQueue,
    DropQueue,
}

/// The protocol of the queue, perhaps with a rule left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    pub(crate) without: Option<Rule>,
}

impl Queue {
    fn keeps(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

fn sum(of: &BTreeSet<usize>) -> i8 {
    of.iter().map(|writer| DELTAS[*writer]).sum()
}

impl Model for Queue {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        [None, Some(0)]
            .map(|row| State {
                row,
                version: 0,
                queue: BTreeSet::new(),
                has_queue: true,
                writers: [Writer::Idle, Writer::Idle, Writer::Idle],
                seen: None,
                folding: None,
                owed: 0,
                folds: 0,
                truth: 0,
                reading: None,
                has_read: false,
                wrong: None,
            })
            .into()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_some() {
            return;
        }
        for (number, writer) in state.writers.iter().enumerate() {
            match writer {
                Writer::Idle => actions.push(Action::Begin(number)),
                Writer::Begun(_) => actions.push(Action::Write(number)),
                Writer::Over => {}
                _ => actions.extend([Action::Commit(number), Action::Abort(number)]),
            }
        }
        if state.owed != 0 {
            actions.push(Action::Add);
        } else if state.folding.is_some() {
            actions.push(Action::CommitFold);
        } else if state.seen.is_some() {
            actions.push(Action::Fold);
        } else if state.folds < 2 && state.has_queue && state.row.is_some() {
            actions.push(Action::Look);
        }
        match &state.reading {
            Some(_) => actions.push(Action::ReadQueue),
            None if !state.has_read => actions.push(Action::Read),
            None => {}
        }
        let is_quiet = state.seen.is_none() && state.folding.is_none() && state.owed == 0;
        if state.has_queue && is_quiet && state.row.is_some() {
            actions.push(Action::DropQueue);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let is_done = match action {
            Action::Begin(writer) => {
                state.writers[writer] = Writer::Begun(state.row.map(|_| state.version));
                true
            }
            Action::Write(writer) => state.write(*self, writer),
            Action::Commit(writer) => state.commit(*self, writer),
            Action::Abort(writer) => {
                state.writers[writer] = Writer::Over;
                true
            }
            Action::Look => {
                state.seen = Some(state.queue.clone());
                true
            }
            Action::Fold | Action::CommitFold | Action::Add => state.fold(*self, action),
            Action::Read | Action::ReadQueue => state.read(*self, action),
            Action::DropQueue => state.drop_queue(*self),
        };
        state.judge();
        is_done.then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(Wrong::Balance.name(), |_, state: &State| state.wrong != Some(Wrong::Balance)),
            Property::always(Wrong::Reading.name(), |_, state: &State| state.wrong != Some(Wrong::Reading)),
            Property::always(Wrong::Refused.name(), |_, state: &State| state.wrong != Some(Wrong::Refused)),
        ];
        if self.without.is_none() {
            properties.push(Property::sometimes("a writer folds another's delta", |_, state: &State| {
                state
                    .writers
                    .iter()
                    .any(|writer| matches!(writer, Writer::Holds(taken, _) if !taken.is_empty()))
            }));
        }
        properties
    }
}

impl State {
    /// Who holds the row.
    fn holder(&self) -> Option<usize> {
        let writer = self.writers.iter().position(|writer| matches!(writer, Writer::Holds(..)));
        writer.or_else(|| self.folding.as_ref().map(|_| FOLDER))
    }

    fn write(&mut self, protocol: Queue, writer: usize) -> bool {
        let Writer::Begun(snapshot) = self.writers[writer].clone() else { return false };
        let is_old = writer == OLD;
        if is_old && protocol.keeps(Rule::QueuesInOldSnapshots) && self.has_queue {
            self.queue_up(protocol, writer);
            return true;
        }
        if is_old && snapshot != self.row.map(|_| self.version) {
            // Without a queue it is as with every row that two change.
            match self.has_queue {
                true => self.wrong = Some(Wrong::Refused),
                false => self.writers[writer] = Writer::Over,
            }
            return true;
        }
        if self.row.is_none() {
            // It waits for whoever makes the same, so that it is as if the first to commit had been the first.
            self.writers[writer] = Writer::Makes;
            return true;
        }
        match (self.holder(), self.has_queue) {
            (None, true) => {
                let taken = self.queue.clone();
                self.writers[writer] = Writer::Holds(taken.clone(), sum(&taken));
            }
            (None, false) => self.writers[writer] = Writer::Holds(BTreeSet::new(), 0),
            (Some(_), true) => self.queue_up(protocol, writer),
            // Without a queue it waits.
            (Some(_), false) => return false,
        }
        true
    }

    fn queue_up(&mut self, protocol: Queue, writer: usize) {
        self.writers[writer] = Writer::Queues;
        if !protocol.keeps(Rule::QueuesWithTheEntry) {
            self.queue.insert(writer);
        }
    }

    fn commit(&mut self, protocol: Queue, writer: usize) -> bool {
        match self.writers[writer].clone() {
            Writer::Holds(taken, of_queue) => {
                let Some(row) = self.row else { return false };
                self.queue.retain(|queued| !taken.contains(queued));
                self.row = Some(row + DELTAS[writer] + of_queue);
            }
            Writer::Makes => {
                let came = self.row.filter(|_| protocol.keeps(Rule::AddsToWhatCame)).unwrap_or(0);
                self.row = Some(came + DELTAS[writer]);
            }
            Writer::Queues if self.has_queue => {
                self.queue.insert(writer);
            }
            // Its queue has gone meanwhile, and what it had put there.
            Writer::Queues => {}
            _ => return false,
        }
        self.version += 1;
        self.truth += DELTAS[writer];
        self.writers[writer] = Writer::Over;
        true
    }

    fn fold(&mut self, protocol: Queue, action: Action) -> bool {
        match action {
            Action::Fold => {
                // A row that somebody holds is skipped.
                let Some(seen) = self.seen.take() else { return false };
                self.folds += 1;
                if self.holder().is_none() {
                    let taken: BTreeSet<usize> = seen.intersection(&self.queue).copied().collect();
                    let added = if protocol.keeps(Rule::AddsWhatItTook) { sum(&taken) } else { sum(&seen) };
                    self.folding = Some((taken, added));
                }
            }
            Action::CommitFold => {
                let Some((taken, added)) = self.folding.take() else { return false };
                self.queue.retain(|queued| !taken.contains(queued));
                match protocol.keeps(Rule::FoldsAtOnce) {
                    true => self.row = self.row.map(|row| row + added),
                    false => self.owed = added,
                }
                self.version += 1;
            }
            _ => {
                let owed = std::mem::take(&mut self.owed);
                self.row = self.row.map(|row| row + owed);
                self.version += 1;
            }
        }
        true
    }

    fn read(&mut self, protocol: Queue, action: Action) -> bool {
        let row = self.row.unwrap_or(0);
        match (action, self.reading.take()) {
            (Action::ReadQueue, Some((row, truths))) => {
                if !truths.contains(&(row + sum(&self.queue))) {
                    self.wrong = Some(Wrong::Reading);
                }
            }
            _ if protocol.keeps(Rule::ReadsBothAtOnce) => {
                if row + sum(&self.queue) != self.truth {
                    self.wrong = Some(Wrong::Reading);
                }
            }
            _ => {
                self.reading = Some((row, BTreeSet::from([self.truth])));
                return true;
            }
        }
        self.has_read = true;
        true
    }

    fn drop_queue(&mut self, protocol: Queue) -> bool {
        let is_used = self.writers.iter().any(|writer| match writer {
            Writer::Queues => true,
            Writer::Holds(taken, _) => !taken.is_empty(),
            _ => false,
        });
        if is_used && protocol.keeps(Rule::WaitsForWhoQueues) {
            return false;
        }
        if self.holder().is_some() {
            return false;
        }
        if protocol.keeps(Rule::FoldsBeforeItGoes) {
            let queued = sum(&self.queue);
            self.row = self.row.map(|row| row + queued);
            self.version += 1;
        }
        self.queue.clear();
        self.has_queue = false;
        true
    }

    fn judge(&mut self) {
        if self.wrong.is_none() && self.row.unwrap_or(0) + sum(&self.queue) != self.truth {
            self.wrong = Some(Wrong::Balance);
        }
        let truth = self.truth;
        if let Some((_, truths)) = &mut self.reading {
            truths.insert(truth);
        }
    }
}
