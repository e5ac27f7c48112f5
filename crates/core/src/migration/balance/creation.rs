//! The steps that make the parts of the balances which are not indexes.

use super::removal;
use crate::{
    balance::{Kind, Object, Objects, State},
    migration::step::{Goal, Lock, Step},
    model::Model,
    sql::{QualifiedName, Statement},
};

/// The parts that are to be there, and how they stand.
pub(super) struct Creation<'a> {
    pub(super) model: &'a Model,
    pub(super) objects: &'a Objects,
    pub(super) states: &'a [(&'a Object, State)],
}

impl Creation<'_> {
    fn step(&self, title: String, lock: Lock, tables: Vec<QualifiedName>, parts: &[&Object]) -> Step {
        let statements: Vec<Statement> = parts.iter().flat_map(|part| part.create.iter().cloned()).collect();
        let goal = Goal::parts(self.model, parts.iter().copied(), State::Intact);
        Step::short(title, lock, tables, statements, goal)
    }

    /// The ledger with its partitions.
    fn ledger_tables(&self) -> Vec<QualifiedName> {
        self.model.ledger.tables().cloned().collect()
    }

    fn is_altered(&self, kind: Kind) -> bool {
        self.states.iter().any(|(object, state)| object.kind == kind && matches!(state, State::Altered(_)))
    }

    /// The checkpoint's own records, and its columns of the ledger.
    fn checkpoint_parts(&self) -> (Vec<&Object>, Vec<&Object>) {
        self.objects.checkpoint.iter().partition(|part| part.kind == Kind::Record)
    }

    pub(super) fn table(&self) -> Option<Step> {
        let balances = &self.model.balances;
        (!balances.is_adopted).then(|| {
            let title = format!("create table {}", balances.table.plain());
            let tables = vec![self.model.organizations.clone()];
            self.step(title, Lock::ShareRowExclusive, tables, &[&self.objects.table]).making(&balances.table)
        })
    }

    pub(super) fn checkpoint(&self) -> Vec<Step> {
        let (records, columns) = self.checkpoint_parts();
        let mut steps = Vec::new();
        // Where keys have other types now, the functions that mark them change with the tables: no write falls between.
        if !records.is_empty() && !self.is_altered(Kind::Record) {
            let title = "create the reconciliation's checkpoint".into();
            steps.push(self.step(title, Lock::None, vec![], &records));
        }
        let ledger = &self.model.ledger.table;
        for column in columns {
            let title = format!("add column {} to {}", column.name.as_str(), ledger.plain());
            steps.push(self.step(title, Lock::AccessExclusive, self.ledger_tables(), &[column]));
        }
        steps
    }

    /// The triggers with their functions; one that is not wanted any more goes.
    pub(super) fn triggers(&self) -> Vec<Step> {
        let (functions, triggers): (Vec<&Object>, Vec<&Object>) =
            (self.objects.functions.iter().collect(), self.objects.triggers.iter().collect());
        let ledger = &self.model.ledger.table;
        let mut steps = Vec::new();
        if !triggers.is_empty() {
            let (title, parts) = match self.is_altered(Kind::Record) {
                true => (
                    "create the reconciliation's checkpoint and the balances' functions",
                    [self.checkpoint_parts().0, functions].concat(),
                ),
                false => ("create the balances' functions", functions),
            };
            steps.push(self.step(title.into(), Lock::None, vec![], &parts));
            // All at once, so that no write falls between two of them.
            let title = format!("create the balances' triggers on {}", ledger.plain());
            steps.push(self.step(title, Lock::ShareRowExclusive, self.ledger_tables(), &triggers));
        }
        let unwanted = self.unwanted(|kind| kind != Kind::Query);
        if !unwanted.is_empty() {
            let title = format!("drop the trigger for replicated rows of {}", ledger.plain());
            steps.push(removal(self.model, title, Lock::AccessExclusive, self.ledger_tables(), &unwanted));
        }
        steps
    }

    /// The functions that tell balances at a time; they go where the ledger's times are not known any more.
    pub(super) fn queries(&self) -> Option<Step> {
        let queries: Vec<&Object> = self.objects.queries.iter().collect();
        if !queries.is_empty() {
            let title = "create the functions that tell balances at a time".into();
            return Some(self.step(title, Lock::None, vec![], &queries));
        }
        let unwanted = self.unwanted(|kind| kind == Kind::Query);
        (!unwanted.is_empty()).then(|| {
            let title = "drop the functions that told balances at a time".into();
            removal(self.model, title, Lock::None, vec![], &unwanted)
        })
    }

    /// The parts of such a kind that are to go, where one of them is there.
    fn unwanted(&self, is_kind: impl Fn(Kind) -> bool) -> Vec<&Object> {
        let is_there =
            self.states.iter().any(|(object, state)| *state == State::Unwanted && is_kind(object.kind));
        self.objects.unwanted.iter().filter(|object| is_there && is_kind(object.kind)).collect()
    }

    pub(super) fn statistics(&self) -> Option<Step> {
        let statistics = self.objects.statistics.as_ref()?;
        let ledger = &self.model.ledger.table;
        let title = format!("create statistics {} on {}", statistics.name.as_str(), ledger.plain());
        let mut step = self.step(title, Lock::ShareUpdateExclusive, vec![ledger.clone()], &[statistics]);
        step.statements.push(self.objects.analyze.clone());
        if self.is_altered(Kind::Statistics) {
            step.statements.splice(0..0, statistics.drop.clone());
        }
        Some(step)
    }
}
