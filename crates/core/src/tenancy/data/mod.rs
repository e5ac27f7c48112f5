//! Giving rows to an organization, with everything that belongs to them.

mod closure;
mod error;
mod graph;
mod selector;
mod transfer;
mod undo;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;
use sqlx::{Connection as _, Executor as _, PgConnection};

pub use closure::{Conflict, Shared};
pub use error::DataError;
pub use selector::{Condition, ConditionError};
pub use undo::{Elsewhere, InTheWay, Undo, Undone, undo};

use super::{OrgId, TenancyError, organization, require, require_moves};
use crate::{
    Error, Task,
    config::{Tenancy, nearest},
    db::{Context as _, Db, DbError, sqlstate},
    history::{self, RunId},
    mapping::Mapping,
    model::Model,
    progress::Progress,
    report::{Outcome, Report},
    sql::{Fragment, Ident, QualifiedName},
};
use closure::{Closure, Found, conflicts};
use graph::Graph;
use transfer::Transfer;

/// The command, as `stockfoil.run` names it.
pub const COMMAND: &str = "data-assign";

/// How many rows move in one transaction, unless said otherwise.
pub const BATCH_ROWS: u32 = 1000;

/// After so many passes a run ends when the last one moved more than half of what the one before it did: an application
/// that goes on writing rows that belong to what was moved never lets it find none.
const PASSES_MIN: u32 = 3;

/// Which rows to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Of the table that the ledger has its locations from.
    Locations(Condition),
    /// Of the table of items.
    Items(Condition),
    /// Of any tenant table.
    Rows {
        /// The table's name.
        table: String,
        /// Which rows.
        condition: Condition,
    },
    /// By their primary keys.
    Ids {
        /// The table's name.
        table: String,
        /// The keys; where a key has several columns, their values with a tab between them.
        ids: BTreeSet<String>,
    },
}

impl Selector {
    /// The selectors that flags ask for: conditions on locations and items, `rows` such as `TABLE where CONDITION`, and
    /// `ids`, tables with the text of their files.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn of(
        locations: Vec<Condition>,
        items: Vec<Condition>,
        rows: &[String],
        ids: &[(String, String)],
    ) -> Result<Vec<Self>, DataError> {
        let mut selectors: Vec<Self> = locations.into_iter().map(Self::Locations).collect();
        selectors.extend(items.into_iter().map(Self::Items));
        for text in rows {
            selectors.push(Self::rows(text)?);
        }
        selectors.extend(ids.iter().map(|(table, text)| Self::ids(table, text)));
        Ok(selectors)
    }

    /// Reads `TABLE where CONDITION`.
    ///
    /// # Errors
    /// [`DataError::NoTable`] and [`ConditionError`].
    pub fn rows(text: &str) -> Result<Self, DataError> {
        let lower = text.to_ascii_lowercase();
        // A quoted name may hold the word: the first place outside quotes counts.
        let place = lower.match_indices(" where ").map(|(at, _)| at);
        let outside = |at: &usize| text[..*at].matches('"').count().is_multiple_of(2);
        let at = place.into_iter().find(outside).ok_or_else(|| DataError::NoTable(text.to_owned()))?;
        let condition = text[at + " where ".len()..].parse()?;
        Ok(Self::Rows { table: text[..at].trim().to_owned(), condition })
    }

    /// The rows of `table` whose keys `text` holds, one a line.
    pub fn ids(table: &str, text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Self::Ids { table: table.to_owned(), ids: lines.map(str::to_owned).collect() }
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Locations(condition) => write!(f, "locations where {condition}"),
            Self::Items(condition) => write!(f, "items where {condition}"),
            Self::Rows { table, condition } => write!(f, "{table} where {condition}"),
            Self::Ids { table, ids } => {
                let all: Vec<&str> = ids.iter().map(String::as_str).collect();
                let sum = crate::sql::fnv1a(all.join("\n").as_bytes());
                write!(f, "{} ids of {table} ({sum:08x})", ids.len())
            }
        }
    }
}

/// Rows to give to an organization.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Where to.
    pub org: OrgId,
    /// Which rows; all of these together.
    pub selectors: Vec<Selector>,
    /// Where from.
    pub from: OrgId,
    /// Whether shared items are copied.
    pub copies_shared_items: bool,
    /// Further tables whose shared rows are copied.
    pub copies_shared: Vec<String>,
    /// How many rows must move; with any other number, none does.
    pub expect: Option<u64>,
    /// Only say what would move.
    pub dry_run: bool,
    /// How many rows move in one transaction.
    pub batch_rows: u32,
}

impl Assignment {
    /// Checks what can be checked without a database.
    ///
    /// # Errors
    /// [`DataError`] for what can't be meant.
    pub fn check(&self) -> Result<(), DataError> {
        if self.selectors.is_empty() {
            return Err(DataError::NoSelection);
        }
        if self.batch_rows == 0 {
            return Err(DataError::EmptyBatch);
        }
        if self.org == self.from {
            return Err(DataError::SameOrganization(self.org.clone()));
        }
        Ok(())
    }

    /// The organization that gives unless another one is named: the default one.
    ///
    /// # Errors
    /// [`TenancyError`] where its id is none.
    pub fn giver(from: Option<OrgId>, config: &Tenancy) -> Result<OrgId, TenancyError> {
        match from {
            Some(from) => Ok(from),
            None => Ok(OrgId::new(&config.default_org_id)?),
        }
    }

    /// What a run that goes on with a killed one must have in common with it.
    fn identity(&self) -> serde_json::Value {
        serde_json::json!({
            "org_id": self.org, "from": self.from,
            "selectors": self.selectors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "copy_shared_items": self.copies_shared_items, "copy_shared": self.copies_shared,
        })
    }
}

/// What moves of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableMoves {
    /// The table.
    pub table: String,
    /// How many rows move.
    pub rows: u64,
    /// How many shared rows are copied.
    pub copies: u64,
}

/// What moved, or would.
#[derive(Debug, Serialize)]
pub struct DataAssigned {
    /// Where to.
    pub org_id: OrgId,
    /// Where from.
    pub from: OrgId,
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// The run in `stockfoil.run`, by which it can be taken back; none where nothing was moved.
    pub run_id: Option<RunId>,
    /// Whether an earlier run that was killed was gone on with.
    pub resumed: bool,
    /// Whether rows were moved.
    pub applied: bool,
    /// Why nothing, or nothing more, can move, if so.
    pub stopped: Option<String>,
    /// How many rows, of all tables.
    pub rows: u64,
    /// The tables of which rows move.
    pub tables: Vec<TableMoves>,
    /// How many rows there were to move at last, which had arrived meanwhile.
    pub left: u64,
    /// How often what belongs there was looked for.
    pub passes: u32,
    /// Rows that both sides use, by the tables whose rows use them.
    pub shared: Vec<Shared>,
    /// Rows that can't arrive.
    pub conflicts: Vec<Conflict>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl DataAssigned {
    /// What to ask before it is done; none where nothing would be.
    pub fn question(&self) -> Option<String> {
        let Self { rows, org_id, from, .. } = self;
        let tables: Vec<String> = self
            .tables
            .iter()
            .map(|TableMoves { table, rows, copies }| match copies {
                0 => format!("{rows} of {table}"),
                copies => format!("{rows} of {table} and {copies} copies"),
            })
            .collect();
        let tables = tables.join(", ");
        (self.stopped.is_none() && !tables.is_empty())
            .then(|| format!("{rows} rows ({tables}) move from {from} to {org_id}; go on?"))
    }
}

impl Report for DataAssigned {
    const SCHEMA: &'static str = "stockfoil.data-assign/1";

    fn outcome(&self) -> Outcome {
        if self.stopped.is_some() || self.left > 0 { Outcome::Findings } else { Outcome::Clean }
    }
}

/// Gives the selected rows to an organization with everything that belongs to them, or says what would move.
///
/// Works under traffic: in batches, each a short transaction with its record, until none is left. May be killed at any
/// moment and run again: what is committed stays, and the next run goes on from what it sees. What both sides use, what
/// a unique key keeps out, and another number of rows than expected stop it before anything is changed.
///
/// # Errors
/// [`DataError`], [`TenancyError`] for an organization that is not there, another run that holds the lock, and what the
/// database refuses.
pub fn assign<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    assignment: &'a Assignment,
    progress: &'a dyn Progress,
) -> Task<'a, DataAssigned> {
    Box::pin(async move {
        assignment.check()?;
        let model = &mapping.resolve(db).await?;
        require(db, model, &model.tenant_tables.iter().collect::<Vec<_>>()).await?;
        require_moves(db).await?;
        db.require_direct().await?;
        if !assignment.dry_run {
            db.require_writable()?;
        }
        let _lock = match assignment.dry_run {
            true => None,
            false => Some(db.run_lock(Duration::ZERO, progress).await?),
        };
        let mut session = db.session().await?;
        let mut warnings = Vec::new();
        for org in [&assignment.org, &assignment.from] {
            match organization::find(&mut session, model, org).await? {
                None => return Err(TenancyError::UnknownOrganization(org.clone()).into()),
                Some(found) if !found.is_active && *org == assignment.org => {
                    warnings.push(format!(
                        "organization {org} is inactive: nobody can work with its rows until it is activated"
                    ));
                }
                Some(_) => {}
            }
        }
        let graph = Graph::read(&mut session, model).await?;
        let (roots, copied) = resolve(model, &graph, assignment)?;
        let is_atomic = needs_one_transaction(&graph)?;
        let closure = Closure {
            model,
            graph: &graph,
            from: &assignment.from,
            to: &assignment.org,
            roots: &roots,
            copied: &copied,
        };
        progress.begin("look at what belongs together", None);
        closure::create_tables(&mut session, model, &graph).await?;
        for place in &copied {
            closure::create_copies(&mut session, model, &graph, *place).await?;
        }
        let found = closure.find(&mut session, false).await?;
        progress.finish();
        refuse_keyless(&graph, &found)?;
        let stopped = stopped(&found, assignment)?;
        warnings.extend(mentioned(&found, assignment));
        let mut report = DataAssigned {
            org_id: assignment.org.clone(),
            from: assignment.from.clone(),
            dry_run: assignment.dry_run,
            run_id: None,
            resumed: false,
            applied: false,
            rows: found.moving(),
            tables: by_table(&graph, &found.rows),
            left: 0,
            passes: 1,
            shared: found.shared.clone(),
            conflicts: found.conflicts.clone(),
            stopped,
            warnings,
        };
        let resumed = unfinished(&mut session, assignment).await?;
        let is_over = found.is_nothing() && resumed.is_none();
        if assignment.dry_run || report.stopped.is_some() || is_over {
            return Ok(report);
        }
        let run = match resumed {
            Some(run) => run,
            None => history::start(&mut session, COMMAND).await?,
        };
        let identity = assignment.identity();
        history::note(&mut session, run, &serde_json::json!({ "assignment": identity })).await?;
        report.run_id = Some(run);
        report.resumed = resumed.is_some();
        let mut work =
            Work { closure, run, assignment, is_atomic, progress, done: vec![(0, 0); graph.tables.len()] };
        let result = work.run(&mut session, found, report).await;
        let mut records = db.session().await?;
        history::finish(&mut records, run, result, |report| {
            serde_json::json!({
                "assignment": identity, "rows": report.rows, "tables": report.tables, "left": report.left,
                "stopped": report.stopped, "passes": report.passes, "resumed": report.resumed,
            })
        })
        .await
    })
}

/// The rows of one table to begin with.
#[derive(Debug)]
struct Root {
    place: usize,
    rows: RootRows,
    from: OrgId,
    to: OrgId,
}

#[derive(Debug)]
enum RootRows {
    Condition(crate::sql::Statement, Vec<String>),
    Ids(Vec<String>),
}

impl Root {
    /// Puts the rows of `orgs` aside.
    async fn select(
        &self,
        session: &mut PgConnection,
        model: &Model,
        graph: &Graph,
        orgs: &[&str],
    ) -> Result<(), Error> {
        let table = &graph.tables[self.place];
        let (statement, values) = match &self.rows {
            RootRows::Condition(condition, values) => {
                let more: [(&str, &dyn Fragment); 1] = [("condition", condition)];
                (graph.of_table(model, self.place, include_str!("roots.sql"), &more), values)
            }
            RootRows::Ids(ids) => {
                let keys = table.key_from("i.id");
                let more: [(&str, &dyn Fragment); 1] = [("keys_from_id", &keys)];
                (graph.of_table(model, self.place, include_str!("root_ids.sql"), &more), ids)
            }
        };
        let selected = sqlx::query(statement.sql())
            .persistent(false)
            .bind(values)
            .bind(orgs)
            .execute(&mut *session)
            .await;
        match selected {
            // Class 22: a literal that is no value of its column's type.
            Err(error) if sqlstate(&error).is_some_and(|state| state.starts_with("22")) => {
                let words =
                    error.as_database_error().map_or_else(String::new, |error| error.message().to_owned());
                return Err(DataError::Literal(words).into());
            }
            selected => selected.context(format!("select rows of {}", table.name.plain()))?,
        };
        if let RootRows::Ids(ids) = &self.rows {
            let text = table.closure_text("c");
            let statement = graph.of_table(
                model,
                self.place,
                "SELECT i.id FROM unnest($1::text[]) AS i (id) WHERE NOT EXISTS (SELECT FROM {closure} AS c WHERE c.follows AND {text} = i.id)",
                &[("text", &text)],
            );
            // Not as it was written but as the database writes it.
            let canonical = crate::sql::render(
                "SELECT {text} FROM (SELECT {keys_from_id} FROM unnest($1::text[]) AS i (id)) AS c ({keys})",
                &[("text", &text), ("keys_from_id", &table.key_from("i.id")), ("keys", &table.keys())],
            );
            let ids: Vec<String> = sqlx::query_scalar(canonical.sql())
                .persistent(false)
                .bind(ids)
                .fetch_all(&mut *session)
                .await
                .context("read the ids")?;
            let unknown: Vec<String> = sqlx::query_scalar(statement.sql())
                .persistent(false)
                .bind(ids)
                .fetch_all(session)
                .await
                .context("look for the ids")?;
            if !unknown.is_empty() {
                let (from, to) = (self.from.clone(), self.to.clone());
                return Err(
                    DataError::UnknownRows { table: table.name.plain(), from, to, ids: unknown }.into()
                );
            }
        }
        Ok(())
    }
}

/// The selection and the tables whose shared rows are copied, looked up in the catalog.
fn resolve(
    model: &Model,
    graph: &Graph,
    assignment: &Assignment,
) -> Result<(Vec<Root>, BTreeSet<usize>), DataError> {
    let mut roots = Vec::new();
    for selector in &assignment.selectors {
        let place = match selector {
            Selector::Locations(_) => locations(model, graph)?,
            Selector::Items(_) => items(model, graph, "--items")?,
            Selector::Rows { table, .. } | Selector::Ids { table, .. } => find_table(graph, table)?,
        };
        let table = &graph.tables[place];
        if model.users.as_ref().is_some_and(|users| users.table == table.name) {
            return Err(DataError::People(table.name.plain()));
        }
        if table.key.is_empty() {
            return Err(DataError::NoKey(table.name.plain()));
        }
        let rows = match selector {
            Selector::Locations(condition)
            | Selector::Items(condition)
            | Selector::Rows { condition, .. } => {
                let mut values = Vec::new();
                let sql = condition.sql(&table.name.plain(), &table.columns, &mut values)?;
                RootRows::Condition(sql, values)
            }
            Selector::Ids { ids, .. } => {
                RootRows::Ids(ids.iter().map(|id| id_text(id, table.key.len())).collect())
            }
        };
        roots.push(Root { place, rows, from: assignment.from.clone(), to: assignment.org.clone() });
    }
    let mut copied = BTreeSet::new();
    if assignment.copies_shared_items {
        copied.insert(items(model, graph, "--copy-shared-items")?);
    }
    for table in &assignment.copies_shared {
        copied.insert(find_table(graph, table)?);
    }
    for place in &copied {
        copyable(model, graph, *place)?;
    }
    Ok((roots, copied))
}

/// A line of an id file as the records write keys.
fn id_text(line: &str, columns: usize) -> String {
    match columns {
        1 => line.to_owned(),
        _ => serde_json::json!(line.split('\t').collect::<Vec<_>>()).to_string(),
    }
}

fn find_table(graph: &Graph, name: &str) -> Result<usize, DataError> {
    let unknown = || {
        let known: Vec<String> = graph.tables.iter().map(|table| table.name.plain()).collect();
        let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        DataError::UnknownTable { table: name.to_owned(), nearest }
    };
    let parts = QualifiedName::split(name).map_err(|_| unknown())?;
    let is = |table: &QualifiedName| match parts.as_slice() {
        [one] => table.name == *one,
        [schema, one] => table.schema == *schema && table.name == *one,
        _ => false,
    };
    let found: Vec<usize> = graph
        .tables
        .iter()
        .enumerate()
        .filter(|(_, table)| is(&table.name))
        .map(|(place, _)| place)
        .collect();
    match found.as_slice() {
        [] => Err(unknown()),
        [place] => Ok(*place),
        _ => Err(DataError::AmbiguousTable(name.to_owned())),
    }
}

/// The one table that the ledger's `columns` refer to.
fn ledger_parent(model: &Model, graph: &Graph, columns: &[&Ident]) -> Option<usize> {
    let ledger = graph.place(&model.ledger.table)?;
    let refers = |edge: &&graph::Edge| {
        edge.child == ledger && edge.columns.iter().any(|(column, _)| columns.contains(&column))
    };
    let parents: BTreeSet<usize> = graph.belongings().filter(refers).map(|edge| edge.parent).collect();
    match parents.into_iter().collect::<Vec<_>>().as_slice() {
        [place] => Some(*place),
        _ => None,
    }
}

fn locations(model: &Model, graph: &Graph) -> Result<usize, DataError> {
    let columns: Vec<&Ident> = model
        .ledger
        .postings
        .iter()
        .filter_map(|posting| posting.location.as_ref()?.column.as_ref())
        .collect();
    ledger_parent(model, graph, &columns)
        .ok_or(DataError::NoSuchParent { what: "locations", flag: "--locations" })
}

fn items(model: &Model, graph: &Graph, flag: &'static str) -> Result<usize, DataError> {
    let columns: Vec<&Ident> =
        model.ledger.postings.iter().filter_map(|posting| posting.item.column.as_ref()).collect();
    ledger_parent(model, graph, &columns)
        .or_else(|| model.items.as_ref().and_then(|items| graph.place(items)))
        .ok_or(DataError::NoSuchParent { what: "items", flag })
}

/// Refuses to copy rows whose copies could not be told from them, or could not be referred to.
fn copyable(model: &Model, graph: &Graph, place: usize) -> Result<(), DataError> {
    let table = &graph.tables[place];
    closure::new_key(table)?;
    let refuse = |reason: String| Err(DataError::NotCopyable { table: table.name.plain(), reason });
    if model.users.as_ref().is_some_and(|users| users.table == table.name) {
        return Err(DataError::People(table.name.plain()));
    }
    if let Some(key) = table.unique_keys.iter().find(|key| !key.has_column(&model.org_column)) {
        return refuse(format!("its key {} is unique across organizations", key.name.as_str()));
    }
    let other = graph
        .edges
        .iter()
        .filter(|edge| edge.parent == place)
        .find(|edge| !matches!(edge.columns.as_slice(), [(_, parent)] if *parent == table.key[0].0));
    match other {
        Some(edge) => refuse(format!("foreign key {} does not refer to its primary key", edge.name.as_str())),
        None => Ok(()),
    }
}

/// Whether related rows must move in one transaction, since a foreign key holds the organization.
fn needs_one_transaction(graph: &Graph) -> Result<bool, DataError> {
    let mut is_needed = false;
    for edge in graph.edges.iter().filter(|edge| edge.holds_org) {
        if !edge.is_deferrable {
            let table = graph.tables[edge.child].name.plain();
            return Err(DataError::NotDeferrable { key: edge.name.as_str().to_owned(), table });
        }
        is_needed = true;
    }
    Ok(is_needed)
}

/// Why nothing can move, if so.
fn stopped(found: &Found, assignment: &Assignment) -> Result<Option<String>, DataError> {
    if let Some((table, key, rows, _)) = found.mentions.iter().find(|(.., forbidden)| *forbidden) {
        let org = assignment.org.clone();
        return Err(DataError::Mentions { rows: *rows, table: table.clone(), org, key: key.clone() });
    }
    let moving = found.moving();
    Ok(match assignment.expect {
        Some(expect) if expect != moving => {
            Some(format!("--expect says {expect}, but {moving} rows would move"))
        }
        _ => cannot_move(found),
    })
}

/// Why what was found can't move, if so.
fn cannot_move(found: &Found) -> Option<String> {
    if !found.shared.is_empty() {
        let rows: BTreeSet<(&str, &str)> =
            found.shared.iter().map(|shared| (shared.table.as_str(), shared.key.as_str())).collect();
        let tables: BTreeSet<&str> = rows.iter().map(|(table, _)| *table).collect();
        let tables: Vec<&str> = tables.into_iter().collect();
        return Some(format!(
            "{} rows of {} are used by both sides; select otherwise, or give each side its own with --copy-shared-items or --copy-shared TABLE",
            rows.len(),
            tables.join(", ")
        ));
    }
    match found.conflicts.len() {
        0 => None,
        rows => Some(format!("{rows} of them can't move, because a key of theirs is taken")),
    }
}

fn mentioned(found: &Found, assignment: &Assignment) -> Vec<String> {
    let warning = |(table, key, rows, _): &(String, String, i64, bool)| {
        format!(
            "{rows} rows of {table} mention people outside {} ({key}); users-assign moves people",
            assignment.org
        )
    };
    found.mentions.iter().map(warning).collect()
}

/// Refuses a move that rows of a table without a primary key would have to follow: which they are can't be remembered, and
/// left behind they would point at another organization's.
fn refuse_keyless(graph: &Graph, found: &Found) -> Result<(), DataError> {
    let mut children = graph.belongings().filter(|edge| found.rows[edge.parent] != (0, 0));
    match children.find(|edge| graph.tables[edge.child].key.is_empty()) {
        Some(edge) => Err(DataError::NoKey(graph.tables[edge.child].name.plain())),
        None => Ok(()),
    }
}

fn by_table(graph: &Graph, rows: &[(u64, u64)]) -> Vec<TableMoves> {
    let tables = graph.tables.iter().zip(rows).filter(|(_, count)| **count != (0, 0));
    tables
        .map(|(table, (rows, copies))| TableMoves { table: table.name.plain(), rows: *rows, copies: *copies })
        .collect()
}

/// The run with the same assignment that was killed, if there is one: no other run is under way while this one holds
/// the lock.
async fn unfinished(session: &mut PgConnection, assignment: &Assignment) -> Result<Option<RunId>, DbError> {
    sqlx::query_scalar(
        "SELECT id FROM stockfoil.run WHERE command = $1 AND finished_at IS NULL AND summary -> 'assignment' = $2
         ORDER BY id DESC LIMIT 1",
    )
    .bind(COMMAND)
    .bind(assignment.identity())
    .fetch_optional(session)
    .await
    .context("look for a run to go on with")
}

struct Work<'a> {
    closure: Closure<'a>,
    run: RunId,
    assignment: &'a Assignment,
    is_atomic: bool,
    progress: &'a dyn Progress,
    /// By table: rows moved and copied.
    done: Vec<(u64, u64)>,
}

impl Work<'_> {
    async fn run(
        &mut self,
        session: &mut PgConnection,
        found: Found,
        report: DataAssigned,
    ) -> Result<DataAssigned, Error> {
        if !self.is_atomic {
            return self.passes(session, found, report).await;
        }
        self.progress.note("foreign keys hold the organization, so all of it moves in one transaction");
        let mut transaction = session.begin().await?;
        transaction.execute("SET CONSTRAINTS ALL DEFERRED").await.context("defer the foreign keys")?;
        let report = self.passes(&mut transaction, found, report).await?;
        if report.left > 0 || report.stopped.is_some() {
            // Nothing of it is kept: what is left would refer to what has moved.
            transaction.rollback().await.context("take back what has moved")?;
            return Ok(DataAssigned { applied: false, ..report });
        }
        transaction.commit().await.context("move what belongs together")?;
        Ok(report)
    }

    async fn passes(
        &mut self,
        session: &mut PgConnection,
        mut found: Found,
        mut report: DataAssigned,
    ) -> Result<DataAssigned, Error> {
        let graph = self.closure.graph;
        let mut moved_before = u64::MAX;
        while !found.is_nothing() {
            if report.passes > PASSES_MIN && found.moving() > moved_before / 2 {
                report.left = found.moving();
                break;
            }
            moved_before = found.moving();
            self.pass(session, &found).await?;
            report.passes += 1;
            found = self.closure.find(session, self.is_atomic).await?;
            // Rows that have arrived meanwhile may use what has moved.
            report.stopped = cannot_move(&found);
            if report.stopped.is_some() {
                report.left = found.moving();
                break;
            }
        }
        report.applied = self.done.iter().any(|done| *done != (0, 0));
        report.rows = self.done.iter().map(|(rows, _)| rows).sum();
        report.tables = by_table(graph, &self.done);
        report.shared = found.shared;
        report.conflicts = found.conflicts;
        Ok(report)
    }

    async fn pass(&mut self, session: &mut PgConnection, found: &Found) -> Result<(), Error> {
        let Closure { model, graph, from, to, copied, .. } = self.closure;
        for (place, copies) in self.closure.copy(session, self.run).await? {
            self.done[place].1 += copies;
        }
        let mut numbered = Vec::new();
        for (place, (rows, _)) in found.rows.iter().enumerate().filter(|(_, (rows, _))| *rows > 0) {
            let last = transfer::number(session, model, graph, place, from.as_str()).await?;
            numbered.push((place, *rows, last));
        }
        transfer::prepare(session, model, graph).await?;
        for (place, rows, last) in numbered {
            let table = graph.tables[place].name.plain();
            self.progress.begin(&format!("move rows of {table}"), Some(rows));
            let transfer = Transfer::new(model, graph, place, Some(from.as_str()), Some(to.as_str()), copied);
            let batch_rows = self.assignment.batch_rows;
            self.done[place].0 +=
                transfer.run(session, (1, last), batch_rows, self.run, self.progress).await?;
            self.progress.finish();
        }
        transfer::unprepare(session).await
    }
}

/// By organization that rows go back to.
type ByOrganization<T> = BTreeMap<Option<String>, T>;
