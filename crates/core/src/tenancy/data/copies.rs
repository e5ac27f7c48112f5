//! Shared rows of which each side gets its own: which can be copied, their copies, and what is pointed to these.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection};

use super::super::moves::{self, DataError, Graph, Table};
use crate::{
    Error,
    db::Context as _,
    history::RunId,
    model::{Model, TX, joined},
    org_id::OrgId,
    sql::{Fragment, Ident, Literal, Statement, render},
};

/// The rows of some tables to be copied from one organization to another.
pub(super) struct Copies<'a> {
    pub(super) model: &'a Model,
    pub(super) graph: &'a Graph,
    pub(super) from: &'a OrgId,
    pub(super) to: &'a OrgId,
    /// The tables whose shared rows are copied.
    pub(super) tables: &'a BTreeSet<usize>,
}

/// Refuses to copy rows whose copies could not be told from them, or could not be referred to.
pub(super) fn check(model: &Model, graph: &Graph, place: usize) -> Result<(), DataError> {
    let table = &graph.tables[place];
    new_key(table)?;
    let refuse = |reason: String| Err(DataError::NotCopyable { table: table.name.plain(), reason });
    if graph.people == Some(place) {
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

/// Makes the session's temporary table of copies of `table`'s rows.
pub(super) async fn create_table(
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
pub(super) fn repointed(graph: &Graph, place: usize, copied: &BTreeSet<usize>) -> Vec<(Ident, Statement)> {
    let mut columns: Vec<(Ident, Statement)> = Vec::new();
    for edge in graph.edges.iter().filter(|edge| edge.child == place && copied.contains(&edge.parent)) {
        // `check` has seen to it that keys onto copied rows are of one column.
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

impl Copies<'_> {
    /// That the row `c` of the closure is to be copied, and has no copy yet.
    pub(super) fn due(&self, place: usize) -> Statement {
        let from = Literal::new(self.from.as_str());
        match self.tables.contains(&place) {
            false => render("false", &[]),
            true => render(
                "c.shared AND NOT c.follows AND c.org = {from} AND NOT EXISTS (SELECT FROM {copies} AS m WHERE m.old = c.k0)",
                &[("from", &from), ("copies", &self.graph.tables[place].copies)],
            ),
        }
    }

    /// Puts the copies aside that there are.
    pub(super) async fn look_up(&self, session: &mut PgConnection) -> Result<(), Error> {
        let Self { model, graph, .. } = *self;
        for place in self.tables {
            let table = &graph.tables[*place];
            let (key, key_type) = &table.key[0];
            let more: [(&str, &dyn Fragment); 2] = [("table_key", key), ("table_key_type", key_type)];
            sqlx::query(graph.of_table(model, *place, "TRUNCATE {copies}", &[]).sql())
                .persistent(false)
                .execute(&mut *session)
                .await
                .context("look at what belongs together")?;
            let statement = graph.of_table(model, *place, include_str!("known_copies.sql"), &more);
            sqlx::query(statement.sql())
                .persistent(false)
                .bind(self.to)
                .bind(table.name.schema.as_str())
                .bind(table.name.name.as_str())
                .execute(&mut *session)
                .await
                .context("look for the copies that there are")?;
        }
        Ok(())
    }

    /// Copies the shared rows that have no copy yet, and records them for run `run`; returns how many, by table.
    pub(super) async fn make(
        &self,
        session: &mut PgConnection,
        run: RunId,
    ) -> Result<Vec<(usize, u64)>, Error> {
        let mut transaction = session.begin().await?;
        moves::as_organization(&mut transaction, Some(self.to.as_str())).await?;
        let mut made = Vec::new();
        let order = self.graph.parents_first(self.tables);
        for place in &order {
            self.allocate(&mut transaction, *place).await?;
        }
        for place in order {
            let copies = self.insert(&mut transaction, place).await?;
            self.record(&mut transaction, place, run).await?;
            made.push((place, copies));
        }
        transaction.commit().await.context("copy what is shared")?;
        Ok(made)
    }

    /// Gives each row to be copied the key of its copy, by which rows that are copied later can refer to it.
    async fn allocate(&self, connection: &mut PgConnection, place: usize) -> Result<(), Error> {
        let table = &self.graph.tables[place];
        let (new_key, copied) = (new_key(table)?, self.due(place));
        let allocate = self.graph.of_table(
            self.model,
            place,
            "INSERT INTO {copies} (old, new, is_new) SELECT c.k0, {new_key}, true FROM {closure} AS c WHERE {copied}",
            &[("new_key", &new_key), ("copied", &copied)],
        );
        sqlx::query(allocate.sql())
            .persistent(false)
            .execute(connection)
            .await
            .context(format!("copy rows of {}", table.name.plain()))?;
        Ok(())
    }

    async fn insert(&self, connection: &mut PgConnection, place: usize) -> Result<u64, Error> {
        let Self { model, graph, .. } = *self;
        let table = &graph.tables[place];
        let key = &table.key[0].0;
        let repointed = repointed(graph, place, self.tables);
        let taken = |name: &Ident| name == key || *name == model.org_column || name.as_str() == TX;
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
        let copies = sqlx::query(graph.of_table(model, place, include_str!("copy.sql"), &more).sql())
            .persistent(false)
            .bind(self.to)
            .execute(connection)
            .await
            .context(format!("copy rows of {}", table.name.plain()))?;
        Ok(copies.rows_affected())
    }

    async fn record(&self, connection: &mut PgConnection, place: usize, run: RunId) -> Result<(), Error> {
        let table = &self.graph.tables[place].name;
        let record = self.graph.of_table(
            self.model,
            place,
            "WITH made AS (UPDATE {copies} SET is_new = false WHERE is_new RETURNING old::text, new::text)
                 INSERT INTO stockfoil.move (run_id, schema_name, table_name, from_org, to_org, keys, copies)
                 SELECT $1, $2, $3, $4, $5, array_agg(old), array_agg(new) FROM made HAVING count(*) > 0",
            &[],
        );
        sqlx::query(record.sql())
            .persistent(false)
            .bind(run)
            .bind(table.schema.as_str())
            .bind(table.name.as_str())
            .bind(self.from)
            .bind(self.to)
            .execute(connection)
            .await
            .context("record the copies in stockfoil.move")?;
        Ok(())
    }
}

/// SQL of a new key for a row of `table`.
fn new_key(table: &Table) -> Result<Statement, DataError> {
    let refuse = |reason: String| DataError::NotCopyable { table: table.name.plain(), reason };
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
