//! All of it side by side: writers, runs, damage, and what may happen next.

use stateright::{Model, Property};

use crate::{
    database::{By, Database, EDITED, FIRST_XID, KEYS, Mark, Xid},
    rules::Rule,
    runs::{self, Kind, Look, Run},
    writers::{self, Write, Writer},
};

/// How many writers and runs there are.
const WRITERS: usize = 3;
const RUNS: usize = 2;

/// The protocol, perhaps with a rule left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) without: Option<Rule>,
    /// What alone is looked for; nothing: all that must never be, and what must be possible.
    pub(crate) sought: Option<Wrong>,
}

impl Protocol {
    pub(crate) fn keeps(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    /// A run said that a key matches, and it did not.
    FalseMatch,
    /// A run closed a finding, and the difference was there.
    FalseGone,
    /// A run told a difference that was not there.
    FalseAlarm,
    /// A repair left a balance wrong that nothing else had changed past the triggers.
    BadRepair,
    /// Sealed history that was changed past the triggers was sealed anew, and nobody told.
    LostHistory,
}

/// Everything that is there at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    database: Database,
    writers: [Writer; WRITERS],
    runs: [Run; RUNS],
    next_xid: Xid,
    is_damaged: bool,
    wrong: Option<Wrong>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A transaction begins and writes.
    Write(usize, Write),
    Commit(usize),
    Abort(usize),
    /// Something else writes to a balance.
    Damage(i8),
    Truncate,
    /// The same by a replica: no trigger fires.
    ReplicaTruncate,
    Start(usize),
    Look(usize),
    Compare(usize, Kind),
    MoveWatermark(usize),
    Record(usize),
    Repair(usize),
    Kill(usize),
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        [false, true]
            .map(|is_sealed| State {
                database: Database::new(is_sealed),
                writers: [Writer::Idle, Writer::Idle, Writer::Idle],
                runs: [Run::Idle, Run::Idle],
                next_xid: FIRST_XID,
                is_damaged: false,
                wrong: None,
            })
            .into()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // Nothing is said any more when the last run is over, and nothing is worth saying after what must never be.
        if state.wrong.is_some() || state.runs == [Run::Over, Run::Over] {
            return;
        }
        // What nobody else sees is as good as done at once, whatever it might be interleaved with.
        if let Some(run) = state.runs.iter().position(|run| matches!(run, Run::Compared(_))) {
            actions.extend([Action::Record(run), Action::Kill(run)]);
            return;
        }
        // TRUNCATE is what one of them may do instead.
        if state.database.file == 0 {
            let idle = |writer: usize| state.writers[writer] == Writer::Idle;
            actions.extend(Some(Action::Truncate).filter(|_| idle(1)));
            actions.extend(Some(Action::ReplicaTruncate).filter(|_| idle(2)));
        }
        let has_seen_all = |run: &Run| matches!(run, Run::Begun(file, _) if *file == state.database.file);
        if let Some(run) = state.runs.iter().position(has_seen_all) {
            actions.extend([Action::Look(run), Action::Kill(run)]);
            return;
        }
        for writer in 0..WRITERS {
            match &state.writers[writer] {
                Writer::Idle => {
                    actions.extend(Write::all(writer).iter().map(|write| Action::Write(writer, *write)));
                }
                Writer::Written(..) => {
                    actions.push(Action::Commit(writer));
                    // What rolls back leaves nothing but the number that it held meanwhile: one that does is enough.
                    actions.extend(Some(Action::Abort(writer)).filter(|_| writer == 0));
                }
                Writer::Over => {}
            }
        }
        if !state.is_damaged {
            actions.extend([Action::Damage(1), Action::Damage(-1)]);
        }
        for run in 0..RUNS {
            state.add_steps(*self, run, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let is_done = match action {
            Action::Write(..) | Action::Commit(_) | Action::Abort(_) => state.write(*self, action),
            Action::Damage(_) | Action::Truncate | Action::ReplicaTruncate => state.damage(action),
            Action::Start(_) | Action::Look(_) | Action::Compare(..) | Action::MoveWatermark(_) => {
                state.compare(*self, action)
            }
            Action::Record(_) | Action::Repair(_) | Action::Kill(_) => state.finish(*self, action),
        };
        is_done.then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let never = [
            Property::always(Wrong::FalseMatch.name(), |_, state: &State| state.is_not(Wrong::FalseMatch)),
            Property::always(Wrong::FalseGone.name(), |_, state: &State| state.is_not(Wrong::FalseGone)),
            Property::always(Wrong::FalseAlarm.name(), |_, state: &State| state.is_not(Wrong::FalseAlarm)),
            Property::always(Wrong::BadRepair.name(), |_, state: &State| state.is_not(Wrong::BadRepair)),
            Property::always(Wrong::LostHistory.name(), |_, state: &State| state.is_not(Wrong::LostHistory)),
        ];
        if let Some(sought) = self.sought {
            return never.into_iter().filter(|property| property.name == sought.name()).collect();
        }
        let mut properties = Vec::from(never);
        // A model in which nothing happens would keep every promise.
        properties.extend([
            Property::sometimes("a run repairs", |_, state: &State| {
                state.runs.iter().any(|run| matches!(run, Run::Repairing(_)))
            }),
            Property::sometimes("a later run looks at an open finding", |_, state: &State| {
                matches!(&state.runs[1], Run::Looking(look) if look.database.findings[EDITED])
            }),
        ]);
        properties
    }
}

impl Wrong {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FalseMatch => "a run says match only of what matches",
            Self::FalseGone => "a run says gone only of what is gone",
            Self::FalseAlarm => "a run tells only differences that are there",
            Self::BadRepair => "a repaired balance is right",
            Self::LostHistory => "changed history is told before it is sealed anew",
        }
    }
}

impl State {
    fn is_not(&self, wrong: Wrong) -> bool {
        self.wrong != Some(wrong)
    }

    /// What run number `run` may do next.
    fn add_steps(&self, protocol: Protocol, run: usize, actions: &mut Vec<Action>) {
        let others_active = self.runs.iter().any(Run::is_active);
        let is_free = !others_active || !protocol.keeps(Rule::LocksBeforeSnapshot);
        let step = match &self.runs[run] {
            // The second run is like the first.
            Run::Idle if run > 0 && self.runs[run - 1] == Run::Idle => return,
            Run::Idle => {
                if is_free {
                    actions.push(Action::Start(run));
                }
                return;
            }
            Run::Over => return,
            Run::Lingering(_) => {
                actions.push(Action::Repair(run));
                return;
            }
            Run::Begun(..) => Action::Look(run),
            Run::Looking(look) => {
                let kinds = Kind::ALL.into_iter().filter(|kind| look.kind.is_none_or(|asked| asked == *kind));
                actions.extend(kinds.map(|kind| Action::Compare(run, kind)));
                actions.push(Action::Kill(run));
                return;
            }
            Run::Half(..) => Action::MoveWatermark(run),
            Run::Compared(_) => Action::Record(run),
            Run::Repairing(_) => Action::Repair(run),
        };
        actions.extend([step, Action::Kill(run)]);
    }

    fn write(&mut self, protocol: Protocol, action: Action) -> bool {
        match action {
            Action::Write(writer, write) => {
                let begun = (writer, self.next_xid);
                let Some(written) = writers::write(protocol, &self.database, &self.writers, begun, write)
                else {
                    return false;
                };
                self.writers[writer] = written;
                self.next_xid += 1;
            }
            Action::Commit(writer) => {
                let writer_state = std::mem::replace(&mut self.writers[writer], Writer::Over);
                let disturbed = writers::commit(&mut self.database, &writer_state, writer);
                self.disturb(disturbed);
            }
            Action::Abort(writer) => self.writers[writer] = Writer::Over,
            _ => return false,
        }
        true
    }

    fn damage(&mut self, action: Action) -> bool {
        if let Action::Damage(by) = action {
            self.is_damaged = true;
            self.database.balances[EDITED] += by;
            self.disturb([true, false]);
            return !self.is_held(EDITED);
        }
        // It keeps all writers of the ledger out.
        if self.writers.iter().any(|writer| matches!(writer, Writer::Written(..))) {
            return false;
        }
        self.writers[if action == Action::Truncate { 1 } else { 2 }] = Writer::Over;
        self.database.file = 1;
        self.database.entries = [None; 5];
        if action == Action::Truncate {
            self.database.balances = [0; KEYS];
            self.database.truth.seen = [false; KEYS];
            self.database.marks.insert(Mark { key: None, by: By::Truncate });
        } else {
            self.disturb([true, true]);
        }
        true
    }

    fn compare(&mut self, protocol: Protocol, action: Action) -> bool {
        match action {
            Action::Start(run) => self.runs[run] = Run::Begun(self.database.file, None),
            Action::Look(run) => {
                let Run::Begun(file, kind) = self.runs[run] else { return false };
                let under_way = self.writers.iter().filter_map(Writer::xid).min();
                let oldest = under_way.filter(|_| protocol.keeps(Rule::WatermarkIsOldest));
                self.runs[run] = Run::Looking(Box::new(Look {
                    kind,
                    file,
                    database: self.database.clone(),
                    next: oldest.unwrap_or(self.next_xid),
                    disturbed: [false; KEYS],
                }));
            }
            Action::Compare(run, kind) => {
                let Run::Looking(look) = std::mem::replace(&mut self.runs[run], Run::Over) else {
                    return false;
                };
                let is_overtaken = self.database.checkpoint != look.database.checkpoint;
                if is_overtaken && kind != Kind::Partial {
                    self.runs[run] = Run::Begun(self.database.file, Some(kind));
                    return true;
                }
                (self.runs[run], self.wrong) =
                    runs::compare(protocol, (run, kind), &look, &mut self.database);
            }
            Action::MoveWatermark(run) => {
                let Run::Half(checkpoint, found) = std::mem::replace(&mut self.runs[run], Run::Over) else {
                    return false;
                };
                self.database.checkpoint = Some(checkpoint);
                self.runs[run] = found.told(&self.database);
            }
            _ => return false,
        }
        true
    }

    fn finish(&mut self, protocol: Protocol, action: Action) -> bool {
        let (Action::Record(run) | Action::Repair(run) | Action::Kill(run)) = action else { return false };
        let state = std::mem::replace(&mut self.runs[run], Run::Over);
        match (action, state) {
            (Action::Record(_), Run::Compared(found)) => {
                (self.runs[run], self.wrong) = found.record(protocol, &mut self.database);
            }
            (Action::Repair(_), Run::Repairing(found) | Run::Lingering(found)) => {
                if found.lacking().is_some_and(|(key, _)| self.is_held(key)) {
                    return false;
                }
                (self.runs[run], self.wrong) = found.repair(protocol, &mut self.database);
            }
            (Action::Kill(_), Run::Compared(found)) if found.owes_history => {
                self.wrong = Some(Wrong::LostHistory);
            }
            (Action::Kill(_), Run::Repairing(found)) if !protocol.keeps(Rule::RepairsInLockSession) => {
                self.runs[run] = Run::Lingering(found);
            }
            (Action::Kill(_), _) => {}
            _ => return false,
        }
        true
    }

    /// Whether a writer holds the balance of `key`.
    fn is_held(&self, key: usize) -> bool {
        self.writers.iter().enumerate().any(|(number, writer)| writer.holds(&self.database, number, key))
    }

    /// Something changed one side of `keys` alone.
    fn disturb(&mut self, keys: [bool; KEYS]) {
        for run in &mut self.runs {
            run.disturb(keys);
        }
        for (seen, is_disturbed) in self.database.truth.seen.iter_mut().zip(keys) {
            *seen &= !is_disturbed;
        }
    }
}
