//! Which rows belong together: everything below the selection, and above it what nothing else refers to.
//!
//! Downwards, every row that refers to one that moves, moves: a location's entries and count sheets, a sheet's lines.
//! Upwards, what a moving row refers to (its item, its document) moves if all that refers to it moves, and is shared
//! otherwise. Rows of both organizations are looked at, so that a run that was killed, or rows that arrive while it
//! works, change nothing in what belongs together; what is left to move are those of the organization that gives.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection};

use super::{
    Root,
    graph::{Graph, Table},
};
use crate::{
    Error,
    db::Context as _,
    model::{Model, joined},
    sql::{Fixed, Fragment, Statement, render},
    tenancy::OrgId,
};
use serde::Serialize;

/// A row that both sides use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shared {
    /// The table.
    pub table: String,
    /// The row's primary key.
    pub key: String,
    /// What a person knows it by: its first unique key.
    pub label: String,
    /// The table whose rows refer to it.
    pub used_by: String,
    /// How many of those would move, or are there already.
    pub moving: i64,
    /// How many stay.
    pub staying: i64,
}

/// A row that can't arrive, because another one has the same key there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The table.
    pub table: String,
    /// The row's primary key.
    pub key: String,
    /// What a person knows it by.
    pub label: String,
    /// The unique constraint or index.
    pub unique_key: String,
    /// The primary key of the row that has it.
    pub other_key: String,
}

/// What there is to do.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By table: how many rows move, and how many are copied.
    pub(super) rows: Vec<(u64, u64)>,
    pub(super) shared: Vec<Shared>,
    pub(super) conflicts: Vec<Conflict>,
    /// People whom moving rows mention and who are not in the organization: the table that mentions, its foreign key,
    /// the number of rows, and whether the key forbids it.
    pub(super) mentions: Vec<(String, String, i64, bool)>,
}

impl Found {
    pub(super) fn moving(&self) -> u64 {
        self.rows.iter().map(|(rows, _)| rows).sum()
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.rows.iter().all(|(rows, copies)| (*rows, *copies) == (0, 0))
    }
}

/// The rows that belong together, put aside in temporary tables of one session.
pub(super) struct Closure<'a> {
    pub(super) model: &'a Model,
    pub(super) graph: &'a Graph,
    pub(super) from: &'a OrgId,
    pub(super) to: &'a OrgId,
    pub(super) roots: &'a [Root],
    /// The tables whose shared rows are copied.
    pub(super) copied: &'a BTreeSet<usize>,
}

/// Makes the session's temporary tables, for rows of each table that has a primary key.
pub(super) async fn create_tables(
    session: &mut PgConnection,
    model: &Model,
    graph: &Graph,
) -> Result<(), Error> {
    for (place, table) in graph.tables.iter().enumerate().filter(|(_, table)| !table.key.is_empty()) {
        let named = table.named_key_of("t");
        let create =
            graph.of_table(model, place, include_str!("closure_table.sql"), &[("named_keys", &named)]);
        let defaults = "ALTER TABLE {closure} ALTER follows SET DEFAULT false, ALTER shared SET DEFAULT false, ALTER wave SET DEFAULT 0";
        let index = "CREATE UNIQUE INDEX ON {closure} ({closure_keys})";
        let more = [defaults, index].map(|template| graph.of_table(model, place, template, &[]));
        for statement in std::iter::once(create).chain(more) {
            sqlx::query(statement.sql())
                .persistent(false)
                .execute(&mut *session)
                .await
                .context(format!("put rows of {} aside", table.name.plain()))?;
        }
    }
    Ok(())
}

/// Makes the session's temporary table of copies of `table`'s rows.
pub(super) async fn create_copies(
    session: &mut PgConnection,
    model: &Model,
    graph: &Graph,
    place: usize,
) -> Result<(), Error> {
    let table = &graph.tables[place];
    let key = &table.key[0].0;
    for template in [
        "CREATE TEMPORARY TABLE {copies} AS SELECT t.{key} AS old, t.{key} AS new, false AS is_new FROM {table} AS t WHERE false",
        "ALTER TABLE {copies} ALTER is_new SET DEFAULT false",
        "CREATE UNIQUE INDEX ON {copies} (old)",
    ] {
        sqlx::query(graph.of_table(model, place, template, &[("key", key)]).sql())
            .persistent(false)
            .execute(&mut *session)
            .await
            .context(format!("put copies of {} aside", table.name.plain()))?;
    }
    Ok(())
}

/// The columns of `table` that refer to rows of tables whose rows are copied, each with its value: the copy's key
/// where the row has one.
pub(super) fn repointed(
    graph: &Graph,
    place: usize,
    copied: &BTreeSet<usize>,
) -> Vec<(crate::sql::Ident, Statement)> {
    let mut columns: Vec<(crate::sql::Ident, Statement)> = Vec::new();
    for edge in graph.edges.iter().filter(|edge| edge.child == place && copied.contains(&edge.parent)) {
        // `copyable` has seen to it that keys onto copied rows are of one column.
        let [(column, _)] = edge.columns.as_slice() else { continue };
        if columns.iter().any(|(known, _)| known == column) {
            continue;
        }
        let value = render(
            "coalesce((SELECT m.new FROM {copies} AS m WHERE m.old = t.{column}), t.{column})",
            &[("copies", &graph.tables[edge.parent].copies), ("column", column)],
        );
        columns.push((column.clone(), value));
    }
    columns
}

impl Closure<'_> {
    /// Looks, in one snapshot where the session is in no transaction, at what belongs together and what is left to do.
    pub(super) async fn find(&self, session: &mut PgConnection, is_atomic: bool) -> Result<Found, Error> {
        if is_atomic {
            return self.look(session).await;
        }
        let mut transaction = session.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        let found = self.look(&mut transaction).await?;
        transaction.commit().await.context("look at what belongs together")?;
        Ok(found)
    }

    async fn look(&self, session: &mut PgConnection) -> Result<Found, Error> {
        let Self { model, graph, .. } = *self;
        let orgs = [self.from.as_str(), self.to.as_str()];
        for (place, _) in self.kept() {
            self.run(session, &graph.of_table(model, place, "TRUNCATE {closure}", &[])).await?;
        }
        for root in self.roots {
            root.select(session, model, graph, &orgs).await?;
        }
        let mut wave = 0;
        loop {
            let mut found = 0;
            for edge in self.edges() {
                let statement = graph.of_edge(model, edge, include_str!("down.sql"), &[]);
                let down = sqlx::query(statement.sql()).persistent(false).bind(wave).bind(orgs);
                found +=
                    down.execute(&mut *session).await.context("look for what belongs there")?.rows_affected();
            }
            if found == 0 {
                break;
            }
            self.analyze(session).await?;
            wave += 1;
        }
        let mut since = 0;
        loop {
            wave += 1;
            let mut found = 0;
            for edge in self.edges() {
                let statement = graph.of_edge(model, edge, include_str!("up.sql"), &[]);
                let up = sqlx::query(statement.sql()).persistent(false).bind(since).bind(orgs).bind(wave);
                found +=
                    up.execute(&mut *session).await.context("look for what is referred to")?.rows_affected();
            }
            if found == 0 {
                break;
            }
            since = wave;
        }
        self.analyze(session).await?;
        self.mark_shared(session, &orgs).await?;
        self.count(session).await
    }

    /// Marks what stays because a row refers to it that stays: to that a row above it may refer, which then stays too.
    async fn mark_shared(&self, session: &mut PgConnection, orgs: &[&str]) -> Result<(), Error> {
        let Self { model, graph, .. } = *self;
        let context = || "look for what is shared";
        let mut changed: BTreeSet<usize> = (0..graph.tables.len()).collect();
        for edge in self.edges() {
            let statement = graph.of_edge(model, edge, include_str!("outsiders.sql"), &[]);
            let outsiders = sqlx::query(statement.sql()).persistent(false).bind(orgs);
            outsiders.execute(&mut *session).await.context(context())?;
        }
        while !changed.is_empty() {
            let children = std::mem::take(&mut changed);
            for edge in self.edges().filter(|edge| children.contains(&edge.child)) {
                let parent = &graph.tables[edge.parent];
                let (pc, used) = (parent.closure_keys("pc"), parent.closure_keys("used"));
                let more: [(&str, &dyn Fragment); 2] = [("pc_keys", &pc), ("used_keys", &used)];
                let statement = graph.of_edge(model, edge, include_str!("shared.sql"), &more);
                let shared = sqlx::query(statement.sql()).persistent(false).bind(self.to);
                if shared.execute(&mut *session).await.context(context())?.rows_affected() > 0 {
                    changed.insert(edge.parent);
                }
            }
        }
        Ok(())
    }

    /// The foreign keys by which rows belong to rows, between tables whose rows can be put aside.
    fn edges(&self) -> impl Iterator<Item = &super::graph::Edge> {
        self.graph.belongings().filter(|edge| {
            [edge.child, edge.parent].iter().all(|place| !self.graph.tables[*place].key.is_empty())
        })
    }

    fn kept(&self) -> impl Iterator<Item = (usize, &Table)> {
        self.graph.tables.iter().enumerate().filter(|(_, table)| !table.key.is_empty())
    }

    async fn run(&self, session: &mut PgConnection, statement: &Statement) -> Result<(), Error> {
        sqlx::query(statement.sql())
            .persistent(false)
            .execute(session)
            .await
            .context("look at what belongs together")?;
        Ok(())
    }

    async fn analyze(&self, session: &mut PgConnection) -> Result<(), Error> {
        for (place, _) in self.kept() {
            self.run(session, &self.graph.of_table(self.model, place, "ANALYZE {closure}", &[])).await?;
        }
        Ok(())
    }

    async fn count(&self, session: &mut PgConnection) -> Result<Found, Error> {
        let Self { model, graph, .. } = *self;
        let mut found = Found { rows: vec![(0, 0); graph.tables.len()], ..Found::default() };
        for place in self.copied {
            self.known_copies(session, *place).await?;
        }
        for (place, _) in self.kept() {
            let copied = self.copies_now(place);
            let statement = graph.of_table(
                model,
                place,
                "SELECT count(*) FILTER (WHERE NOT c.shared AND c.org = $1), count(*) FILTER (WHERE {copied}) FROM {closure} AS c WHERE $1::text IS NOT NULL",
                &[("copied", &copied)],
            );
            let (rows, copies): (i64, i64) = sqlx::query_as(statement.sql())
                .persistent(false)
                .bind(self.from)
                .fetch_one(&mut *session)
                .await
                .context("count what belongs there")?;
            found.rows[place] = (rows.unsigned_abs(), copies.unsigned_abs());
        }
        for edge in self.edges() {
            let parent = &graph.tables[edge.parent];
            let uncopied = match self.copied.contains(&edge.parent) {
                true => Fixed("(pc.follows OR pc.org = $1)"),
                false => Fixed("true"),
            };
            let is_listed = graph.of_edge(
                model,
                edge,
                "SELECT EXISTS (SELECT FROM {parent_closure} AS pc WHERE pc.shared AND {uncopied} AND $1::text IS NOT NULL)",
                &[("uncopied", &uncopied)],
            );
            let is_listed: bool = sqlx::query_scalar(is_listed.sql())
                .persistent(false)
                .bind(self.to)
                .fetch_one(&mut *session)
                .await
                .context("list what is shared")?;
            if !is_listed {
                continue;
            }
            let (key, label) = (parent.key_text("p"), parent.label(model, "p"));
            let more: [(&str, &dyn Fragment); 3] =
                [("uncopied", &uncopied), ("p.key_text", &key), ("p.label", &label)];
            let statement = graph.of_edge(model, edge, include_str!("shared_rows.sql"), &more);
            let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(statement.sql())
                .persistent(false)
                .bind(self.to)
                .fetch_all(&mut *session)
                .await
                .context("list what is shared")?;
            found.shared.extend(rows.into_iter().map(|(key, label, moving, staying)| Shared {
                table: parent.name.plain(),
                key,
                label,
                used_by: graph.tables[edge.child].name.plain(),
                moving,
                staying,
            }));
        }
        for edge in
            graph.edges.iter().filter(|edge| edge.is_mention && !graph.tables[edge.child].key.is_empty())
        {
            let statement = graph.of_edge(model, edge, include_str!("mentions.sql"), &[]);
            let rows: i64 = sqlx::query_scalar(statement.sql())
                .persistent(false)
                .bind(self.from)
                .bind(self.to)
                .fetch_one(&mut *session)
                .await
                .context("count the people who are mentioned")?;
            if rows > 0 {
                let table = graph.tables[edge.child].name.plain();
                found.mentions.push((table, edge.name.as_str().to_owned(), rows, edge.holds_org));
            }
        }
        for (place, _) in self.kept() {
            let arrives = render(
                "(c.org = {from} AND (NOT c.shared OR {copied}))",
                &[
                    ("from", &crate::sql::Literal::new(self.from.as_str())),
                    ("copied", &self.copies_now(place)),
                ],
            );
            found
                .conflicts
                .extend(conflicts(session, model, graph, place, &arrives, self.to.as_str()).await?);
        }
        Ok(found)
    }

    /// That the row `c` of the closure is to be copied, and has no copy yet.
    fn copies_now(&self, place: usize) -> Statement {
        let from = crate::sql::Literal::new(self.from.as_str());
        match self.copied.contains(&place) {
            false => render("false", &[]),
            true => render(
                "c.shared AND NOT c.follows AND c.org = {from} AND NOT EXISTS (SELECT FROM {copies} AS m WHERE m.old = c.k0)",
                &[("from", &from), ("copies", &self.graph.tables[place].copies)],
            ),
        }
    }

    async fn known_copies(&self, session: &mut PgConnection, place: usize) -> Result<(), Error> {
        let Self { model, graph, .. } = *self;
        let table = &graph.tables[place];
        let (key, key_type) = &table.key[0];
        let more: [(&str, &dyn Fragment); 2] = [("table_key", key), ("table_key_type", key_type)];
        self.run(session, &graph.of_table(model, place, "TRUNCATE {copies}", &[])).await?;
        let statement = graph.of_table(model, place, include_str!("known_copies.sql"), &more);
        sqlx::query(statement.sql())
            .persistent(false)
            .bind(self.to)
            .bind(table.name.schema.as_str())
            .bind(table.name.name.as_str())
            .execute(session)
            .await
            .context("look for the copies that there are")?;
        Ok(())
    }

    /// Copies the shared rows that have no copy yet, and records them for run `run`.
    pub(super) async fn copy(
        &self,
        session: &mut PgConnection,
        run: crate::history::RunId,
    ) -> Result<Vec<(usize, u64)>, Error> {
        let Self { model, graph, .. } = *self;
        let mut transaction = session.begin().await?;
        let mut made = Vec::new();
        let order = parents_first(graph, self.copied);
        for place in &order {
            let table = &graph.tables[*place];
            let new_key = new_key(table)?;
            let copied = self.copies_now(*place);
            let allocate = graph.of_table(
                model,
                *place,
                "INSERT INTO {copies} (old, new, is_new) SELECT c.k0, {new_key}, true FROM {closure} AS c WHERE {copied}",
                &[("new_key", &new_key), ("copied", &copied)],
            );
            let context = || format!("copy rows of {}", table.name.plain());
            sqlx::query(allocate.sql())
                .persistent(false)
                .execute(&mut *transaction)
                .await
                .context(context())?;
        }
        for place in order {
            let table = &graph.tables[place];
            let key = &table.key[0].0;
            let repointed = repointed(graph, place, self.copied);
            let taken = |name: &crate::sql::Ident| {
                name == key || *name == model.org_column || name.as_str() == crate::model::TX
            };
            let columns: Vec<_> =
                table.columns.iter().filter(|column| !column.is_generated && !taken(&column.name)).collect();
            let names = columns.iter().map(|column| render(", {name}", &[("name", &column.name)]));
            let values =
                columns.iter().map(|column| match repointed.iter().find(|(name, _)| *name == column.name) {
                    Some((_, value)) => render(", {value}", &[("value", value)]),
                    None => render(", t.{name}", &[("name", &column.name)]),
                });
            let (names, values) =
                (joined(&names.collect::<Vec<_>>(), ""), joined(&values.collect::<Vec<_>>(), ""));
            let more: [(&str, &dyn Fragment); 3] =
                [("table_key", key), ("copied_columns", &names), ("copied_values", &values)];
            let copy = graph.of_table(model, place, include_str!("copy.sql"), &more);
            let context = || format!("copy rows of {}", table.name.plain());
            let copies = sqlx::query(copy.sql())
                .persistent(false)
                .bind(self.to)
                .execute(&mut *transaction)
                .await
                .context(context())?
                .rows_affected();
            let record = graph.of_table(
                model,
                place,
                "WITH made AS (UPDATE {copies} SET is_new = false WHERE is_new RETURNING old::text, new::text)
                 INSERT INTO stockfoil.move (run_id, schema_name, table_name, from_org, to_org, keys, copies)
                 SELECT $1, $2, $3, $4, $5, array_agg(old), array_agg(new) FROM made HAVING count(*) > 0",
                &[],
            );
            sqlx::query(record.sql())
                .persistent(false)
                .bind(run)
                .bind(table.name.schema.as_str())
                .bind(table.name.name.as_str())
                .bind(self.from)
                .bind(self.to)
                .execute(&mut *transaction)
                .await
                .context("record the copies in stockfoil.move")?;
            made.push((place, copies));
        }
        transaction.commit().await.context("copy what is shared")?;
        Ok(made)
    }
}

/// The rows of a table that `arrives` says to come to `org`, and can't.
pub(super) async fn conflicts(
    session: &mut PgConnection,
    model: &Model,
    graph: &Graph,
    place: usize,
    arrives: &Statement,
    org: &str,
) -> Result<Vec<Conflict>, Error> {
    let table = &graph.tables[place];
    let label = table.label(model, "t");
    let mut found = Vec::new();
    for key in table.unique_keys.iter().filter(|key| key.has_column(&model.org_column)) {
        let parts = super::super::users::KeyParts::of(model, key);
        let (moved, other) = (parts.of_row("moved"), parts.of_row("other"));
        let more: [(&str, &dyn Fragment); 7] = [
            ("t.label", &label),
            ("unique", &parts.selected),
            ("arrives", arrives),
            ("predicate", &parts.predicate),
            ("moved", &moved),
            ("other", &other),
            ("same", &parts.same),
        ];
        let statement = graph.of_table(model, place, include_str!("conflicts.sql"), &more);
        let rows: Vec<(String, String, String)> = sqlx::query_as(statement.sql())
            .persistent(false)
            .bind(org)
            .fetch_all(&mut *session)
            .await
            .context(format!("look for rows that share the key {}", key.name.as_str()))?;
        found.extend(rows.into_iter().map(|(row, label, other_key)| Conflict {
            table: table.name.plain(),
            key: row,
            label,
            unique_key: key.name.as_str().to_owned(),
            other_key,
        }));
    }
    Ok(found)
}

/// The tables of `among`, those that others refer to first.
pub(super) fn parents_first(graph: &Graph, among: &BTreeSet<usize>) -> Vec<usize> {
    let mut left: Vec<usize> = among.iter().copied().collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let waits = |place: usize| {
            graph
                .edges
                .iter()
                .any(|edge| edge.child == place && edge.parent != place && left.contains(&edge.parent))
        };
        // Tables that refer to each other in a circle have no first one.
        let next = left.iter().position(|place| !waits(*place)).unwrap_or(0);
        order.push(left.remove(next));
    }
    order
}

/// SQL of a new key for a row of `table`.
pub(super) fn new_key(table: &Table) -> Result<Statement, super::DataError> {
    let refuse = |reason: String| super::DataError::NotCopyable { table: table.name.plain(), reason };
    let [(name, key_type)] = table.key.as_slice() else {
        return Err(refuse("its primary key is not one column".into()));
    };
    let column = table.columns.iter().find(|column| column.name == *name);
    match (column.and_then(|column| column.default.as_ref()), key_type.to_string().as_str()) {
        (Some(default), _) => Ok(render("{default}", &[("default", default)])),
        (None, "text" | "uuid") => Ok(render("gen_random_uuid()::{key_type}", &[("key_type", key_type)])),
        (None, _) => Err(refuse(format!("its key {} has no default that makes a new one", name.as_str()))),
    }
}
