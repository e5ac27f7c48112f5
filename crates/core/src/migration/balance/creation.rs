//! The steps that make the parts of the balances which are not indexes.

use sqlx::PgConnection;

use super::{drop_queue, removal};
use crate::{
    Error,
    balance::{self, Kind, Object, Objects, State},
    mapping,
    migration::step::{Goal, Lock, Step},
    model::Model,
    sql::{Fragment, List, QualifiedName, Statement, render},
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

    /// What lets writers say which lot a balance is of, where the database computed that in a table of an earlier release. Who
    /// is inside a function as it was holds the ledger, and is let pass first.
    pub(super) fn write_lot_key(&self) -> Vec<Step> {
        let Some([change, validate]) = balance::write_lot_key(self.model) else { return Vec::new() };
        let table = &self.model.balances.table;
        let mut parts: Vec<&Object> = self.objects.functions.iter().collect();
        if self.is_altered(Kind::Record) {
            parts.splice(0..0, self.checkpoint_parts().0);
        }
        let ledger_tables = self.ledger_tables();
        let tables: [(&str, &dyn Fragment); 1] = [("tables", &List(ledger_tables.clone()))];
        let hold = render("LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE", &tables);
        let created = parts.iter().flat_map(|part| part.create.iter().cloned());
        let lot_key = self.model.balances.lot_key.as_ref().map_or("", |name| name.as_str());
        let is_as_it_should_be = Goal::parts(self.model, [&self.objects.table], State::Intact);
        vec![
            Step::short(
                format!("let {lot_key} of {} be written, and not computed", table.plain()),
                Lock::AccessExclusive,
                ledger_tables.into_iter().chain([table.clone()]).collect(),
                [hold, change].into_iter().chain(created).collect(),
                lot_key_is_written(table, lot_key),
            ),
            Step::scan(
                format!("validate what keeps {lot_key} of {} to the lot", table.plain()),
                vec![table.clone()],
                validate,
                is_as_it_should_be,
            ),
        ]
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
        let unwanted = self.unwanted(|kind| matches!(kind, Kind::Function | Kind::Trigger));
        if !unwanted.is_empty() {
            let title = format!("drop the trigger for replicated rows of {}", ledger.plain());
            steps.push(removal(self.model, title, Lock::AccessExclusive, self.ledger_tables(), &unwanted));
        }
        steps
    }

    /// The queue, and those that read it, before the first writer puts anything there.
    pub(super) fn queue(&self) -> Option<Step> {
        let queue = self.objects.queue.as_ref()?;
        let parts: Vec<&Object> = std::iter::once(queue).chain(&self.objects.queries).collect();
        let title = "create the queue of deltas, and the functions that tell balances".into();
        Some(self.step(title, Lock::ShareRowExclusive, vec![self.model.organizations.clone()], &parts))
    }

    /// The functions that tell balances. With them goes the queue that they read, once no writer puts anything there; those
    /// at a time go where the ledger's times are not known any more.
    pub(super) fn queries(&self) -> Vec<Step> {
        let queries: Vec<&Object> = self.objects.queries.iter().collect();
        let mut steps = Vec::new();
        let queue = self.unwanted(|kind| kind == Kind::Record);
        if self.objects.queue.is_none() {
            let mut step =
                self.step("create the functions that tell balances".into(), Lock::None, vec![], &queries);
            if !queue.is_empty() {
                step.title =
                    "fold what is queued, and let the functions that tell balances read them alone".into();
                step.statements.insert(0, balance::fold_all(self.model));
            }
            steps.push(step);
        }
        if !queue.is_empty() {
            steps.push(drop_queue(self.model, &queue));
        }
        let unwanted = self.unwanted(|kind| kind == Kind::Query);
        if !unwanted.is_empty() {
            let title = "drop the functions that told balances at a time".into();
            steps.push(removal(self.model, title, Lock::None, vec![], &unwanted));
        }
        steps
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

/// The database does not compute what tells lots apart.
fn lot_key_is_written(table: &QualifiedName, lot_key: &str) -> Goal {
    Goal::new(
        "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND attgenerated = '')",
        [table.to_string(), lot_key.to_owned()],
    )
}

/// Whether the table, which stands so, is one of an earlier release, in which the database computes what tells lots apart
/// and should not.
pub(super) async fn still_computes_lot_key(
    session: &mut PgConnection,
    model: &Model,
    table: Option<&(&Object, State)>,
) -> Result<bool, Error> {
    let balances = &model.balances;
    match (table, &balances.lot_key) {
        // What is different before it is of another mapping.
        (Some((_, State::Altered(how))), Some(lot_key))
            if !balances.computes_lot_key && how.contains(lot_key.as_str()) =>
        {
            Ok(mapping::made_balances(session, &balances.table).await?
                && !lot_key_is_written(&balances.table, lot_key.as_str()).is_met(session).await?)
        }
        _ => Ok(false),
    }
}
