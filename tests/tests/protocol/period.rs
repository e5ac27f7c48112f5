//! Closing a period and archiving its partition, as a model of its own: one key, a writer who enters something late, one who changes
//! a closed entry, runs that look for what is backdated, one that closes, and one that archives and may be killed.

use stateright::{Model, Property};

/// A rule that runs keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// The keys of entries of new transactions are looked at, whatever time the entries say.
    LooksByTransaction,
    /// The keys that a trigger saw change are looked at.
    LooksByMark,
    /// What is new begins with the oldest transaction that was under way.
    NewIsFromTheOldest,
    /// A key whose closed entries are known to be others is looked at until they are not.
    LooksAtFindings,
    /// A closing keeps count and hash beside the sum.
    ClosesWithHash,
    /// A run that closes holds the run lock, so that none takes marks away that it didn't compare.
    ClosesUnderLock,
    /// A partition is archived only as it was closed.
    ArchivesWhatWasClosed,
    /// A partition is swapped only with the entries that were summed, and while nobody writes it.
    HoldsThePartition,
    /// The partition goes and its sums come in one transaction.
    SwapsAtOnce,
    /// What is brought forward is counted by no trigger: the balance has it.
    BringsUncounted,
    /// The closing comes to hold what was brought forward for what went.
    BringsTheClosing,
}

impl Rule {
    pub(crate) const ALL: [(Self, Wrong); 11] = [
        (Self::LooksByTransaction, Wrong::Untold),
        (Self::LooksByMark, Wrong::Untold),
        (Self::NewIsFromTheOldest, Wrong::Untold),
        (Self::LooksAtFindings, Wrong::Untold),
        (Self::ClosesWithHash, Wrong::Untold),
        (Self::ClosesUnderLock, Wrong::Untold),
        (Self::ArchivesWhatWasClosed, Wrong::Untold),
        (Self::HoldsThePartition, Wrong::Difference),
        (Self::SwapsAtOnce, Wrong::Difference),
        (Self::BringsUncounted, Wrong::Difference),
        (Self::BringsTheClosing, Wrong::FalselyTold),
    ];
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    /// Closed entries are others than were closed, and a run did not say so.
    Untold,
    /// A run said so, and they are not.
    FalselyTold,
    /// Ledger and balance differ, though each write was counted.
    Difference,
}

impl Wrong {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Untold => "what is backdated is told",
            Self::FalselyTold => "only what is backdated is told",
            Self::Difference => "closing and archiving make no difference",
        }
    }
}

const KINDS: usize = 2;

/// The entries before the closing's time, by their ids: one from the beginning, that of the late writer, and what is brought forward.
type Closed = [Option<i8>; 3];

/// The late writer, and the one who changes the first entry.
const LATE: usize = 0;
const CHANGING: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writer {
    Idle,
    /// Its number, and which partition it has written.
    Written(u8, bool),
    Over,
}

/// What a run saw as it began.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Look {
    database: Database,
    oldest: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Run {
    Idle,
    Looking(Box<Look>),
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Archive {
    Idle,
    /// What it summed.
    Summed(Closed),
    /// The partition is gone, and this is to come.
    Gone(Closed),
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Database {
    closed: Closed,
    /// Which transaction made the late entry.
    late_tx: u8,
    balance: i8,
    is_marked: bool,
    watermark: u8,
    /// What was closed, as it is kept and as it was.
    closing: Option<(Closed, Closed)>,
    is_found: bool,
    is_archived: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    database: Database,
    writers: [Writer; 2],
    next_xid: u8,
    runs: [Run; KINDS],
    closing: Run,
    archive: Archive,
    wrong: Option<Wrong>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Write(usize),
    Commit(usize),
    Look(usize),
    Tell(usize),
    BeginToClose,
    Close,
    Sum,
    Swap,
    Bring,
    KillArchive,
}

/// The protocol of closed periods, perhaps with a rule left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Period {
    pub(crate) without: Option<Rule>,
}

impl Period {
    fn keeps(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

fn sum(closed: &Closed) -> i8 {
    closed.iter().flatten().sum()
}

impl Model for Period {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            database: Database {
                closed: [Some(2), None, None],
                late_tx: 0,
                balance: 2,
                is_marked: false,
                watermark: 1,
                closing: None,
                is_found: false,
                is_archived: false,
            },
            writers: [Writer::Idle; 2],
            next_xid: 1,
            runs: [Run::Idle, Run::Idle],
            closing: Run::Idle,
            archive: Archive::Idle,
            wrong: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_some() {
            return;
        }
        for (number, writer) in state.writers.iter().enumerate() {
            match writer {
                Writer::Idle => actions.push(Action::Write(number)),
                Writer::Written(..) => actions.push(Action::Commit(number)),
                Writer::Over => {}
            }
        }
        let is_free = !state.is_locked(*self);
        for (number, run) in state.runs.iter().enumerate() {
            match run {
                Run::Idle if is_free => actions.push(Action::Look(number)),
                Run::Looking(_) => actions.push(Action::Tell(number)),
                _ => {}
            }
        }
        match state.closing {
            Run::Idle if is_free || !self.keeps(Rule::ClosesUnderLock) => actions.push(Action::BeginToClose),
            Run::Looking(_) => actions.push(Action::Close),
            _ => {}
        }
        match state.archive {
            Archive::Idle if is_free && state.database.closing.is_some() => actions.push(Action::Sum),
            Archive::Summed(_) => actions.extend([Action::Swap, Action::KillArchive]),
            Archive::Gone(_) => actions.extend([Action::Bring, Action::KillArchive]),
            _ => {}
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let is_done = match action {
            Action::Write(writer) => state.write(writer),
            Action::Commit(writer) => state.commit(writer),
            Action::Look(run) => {
                state.runs[run] = state.look();
                true
            }
            Action::Tell(run) => state.tell(*self, run),
            Action::BeginToClose => {
                state.closing = state.look();
                true
            }
            Action::Close => state.close(),
            Action::Sum | Action::Swap | Action::Bring | Action::KillArchive => state.archive(*self, action),
        };
        is_done.then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(Wrong::Untold.name(), |_, state: &State| state.wrong != Some(Wrong::Untold)),
            Property::always(Wrong::FalselyTold.name(), |_, state: &State| {
                state.wrong != Some(Wrong::FalselyTold)
            }),
            Property::always(Wrong::Difference.name(), |_, state: &State| {
                state.wrong != Some(Wrong::Difference)
            }),
        ];
        if self.without.is_none() {
            properties.push(Property::sometimes("a run tells what is backdated", |_, state: &State| {
                state.database.is_found
            }));
            properties.push(Property::sometimes(
                "a run looks at an archived period",
                |_, state: &State| matches!(&state.runs[1], Run::Looking(look) if look.database.is_archived),
            ));
        }
        properties
    }
}

impl State {
    /// Whether a run holds the run lock.
    fn is_locked(&self, protocol: Period) -> bool {
        let closing = Some(&self.closing).filter(|_| protocol.keeps(Rule::ClosesUnderLock));
        let runs = self.runs.iter().chain(closing);
        runs.into_iter().any(|run| matches!(run, Run::Looking(_)))
            || matches!(self.archive, Archive::Summed(_) | Archive::Gone(_))
    }

    fn write(&mut self, writer: usize) -> bool {
        // The first entry may have gone with its partition.
        if writer == CHANGING && self.database.closed[0].is_none() {
            return false;
        }
        self.writers[writer] = Writer::Written(self.next_xid, self.database.is_archived);
        self.next_xid += 1;
        true
    }

    fn commit(&mut self, writer: usize) -> bool {
        let Writer::Written(xid, of_archived) = self.writers[writer] else { return false };
        self.writers[writer] = Writer::Over;
        let delta = if writer == LATE { 1 } else { -1 };
        self.database.balance += delta;
        // What it has written may be in a table that is no partition any more.
        let is_there = of_archived == self.database.is_archived;
        if writer == LATE && is_there {
            (self.database.closed[1], self.database.late_tx) = (Some(1), xid);
        }
        if writer == CHANGING {
            self.database.is_marked = true;
            if is_there {
                self.database.closed[0] = self.database.closed[0].map(|quantity| quantity + delta);
            }
        }
        true
    }

    fn look(&self) -> Run {
        let running = self.writers.iter().filter_map(|writer| match writer {
            Writer::Written(xid, _) => Some(*xid),
            _ => None,
        });
        let oldest = running.min().unwrap_or(self.next_xid);
        Run::Looking(Box::new(Look { database: self.database.clone(), oldest }))
    }

    fn tell(&mut self, protocol: Period, run: usize) -> bool {
        let Run::Looking(look) = std::mem::replace(&mut self.runs[run], Run::Over) else { return false };
        let seen = &look.database;
        if sum(&seen.closed) != seen.balance {
            self.wrong = Some(Wrong::Difference);
        }
        let is_new = seen.closed[1].is_some() && seen.late_tx >= seen.watermark;
        let is_looked_at = is_new && protocol.keeps(Rule::LooksByTransaction)
            || seen.is_marked && protocol.keeps(Rule::LooksByMark)
            || seen.is_found && protocol.keeps(Rule::LooksAtFindings);
        if let Some((kept, truth)) = &seen.closing {
            let differs = match protocol.keeps(Rule::ClosesWithHash) {
                true => seen.closed != *kept,
                false => sum(&seen.closed) != sum(kept),
            };
            let is_told = is_looked_at && differs;
            match (is_told, seen.closed != *truth) {
                (false, true) => self.wrong = Some(Wrong::Untold),
                (true, false) => self.wrong = Some(Wrong::FalselyTold),
                _ => {}
            }
            self.database.is_found = is_told;
        }
        // The mark that it saw goes; one that came since is another.
        self.database.is_marked &= !seen.is_marked;
        self.database.watermark = match protocol.keeps(Rule::NewIsFromTheOldest) {
            true => look.oldest,
            false => self.next_xid,
        };
        true
    }

    fn close(&mut self) -> bool {
        let Run::Looking(look) = std::mem::replace(&mut self.closing, Run::Over) else { return false };
        let closed = look.database.closed;
        self.database.closing = Some((closed, closed));
        self.database.is_found = false;
        true
    }

    fn archive(&mut self, protocol: Period, action: Action) -> bool {
        match (action, self.archive.clone()) {
            (Action::Sum, _) => {
                let closed = self.database.closed;
                let is_as_closed = self.database.closing.is_some_and(|(kept, _)| kept == closed);
                self.archive = match is_as_closed || !protocol.keeps(Rule::ArchivesWhatWasClosed) {
                    true => Archive::Summed(closed),
                    false => Archive::Over,
                };
            }
            (Action::Swap, Archive::Summed(summed)) => {
                let is_written = self.writers.iter().any(|writer| matches!(writer, Writer::Written(..)));
                if protocol.keeps(Rule::HoldsThePartition) {
                    if is_written {
                        return false;
                    }
                    if self.database.closed != summed {
                        self.archive = Archive::Over;
                        return true;
                    }
                }
                self.database.closed = [None; 3];
                self.database.is_archived = true;
                match protocol.keeps(Rule::SwapsAtOnce) {
                    true => self.bring(protocol, summed),
                    false => self.archive = Archive::Gone(summed),
                }
            }
            (Action::Bring, Archive::Gone(summed)) => self.bring(protocol, summed),
            (Action::KillArchive, _) => self.archive = Archive::Over,
            _ => return false,
        }
        true
    }

    /// One entry for those that went, in the ledger and in the closing.
    fn bring(&mut self, protocol: Period, summed: Closed) {
        let brought = sum(&summed);
        self.database.closed[2] = Some(brought);
        if !protocol.keeps(Rule::BringsUncounted) {
            self.database.balance += brought;
        }
        if let Some((kept, truth)) = &mut self.database.closing {
            // What differed before differs by as much.
            let replaced = |closing: Closed| {
                let mut closing = closing;
                for (of_closing, went) in closing.iter_mut().zip(summed).take(2) {
                    *of_closing = match (*of_closing, went) {
                        (of_closing, went) if of_closing == went => None,
                        (of_closing, went) => Some(of_closing.unwrap_or(0) - went.unwrap_or(0)),
                    };
                }
                closing[2] = Some(brought);
                closing
            };
            *truth = replaced(*truth);
            if protocol.keeps(Rule::BringsTheClosing) {
                *kept = replaced(*kept);
            }
        }
        self.archive = Archive::Over;
    }
}
