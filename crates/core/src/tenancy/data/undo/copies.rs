//! The copies that a run made: what refers to them refers to the rows again, and those that nothing refers to go.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection};

use super::{
    super::{
        super::moves::{self, refers},
        copies,
    },
    Work,
};
use crate::{
    Error,
    db::Context as _,
    history::RunId,
    model::joined,
    sql::{Fragment, QualifiedName, Statement, render},
};

impl Work<'_> {
    /// Puts aside which row each copy is one of, for the tables that have copies where the rows are now.
    pub(super) async fn originals(&self, session: &mut PgConnection) -> Result<BTreeSet<usize>, Error> {
        let Self { model, graph, request, .. } = *self;
        let mut copied = BTreeSet::new();
        for (place, table) in graph.tables.iter().enumerate() {
            let [(key, key_type)] = table.key.as_slice() else { continue };
            copies::create_table(session, model, graph, place).await?;
            let more: [(&str, &dyn Fragment); 2] = [("table_key", key), ("table_key_type", key_type)];
            let statement = graph.of_table(model, place, include_str!("../originals.sql"), &more);
            let rows = sqlx::query(statement.sql())
                .persistent(false)
                .bind(request.run)
                .bind(table.name.schema.as_str())
                .bind(table.name.name.as_str())
                .execute(&mut *session)
                .await
                .context("look for what was copied")?
                .rows_affected();
            if rows > 0 {
                copied.insert(place);
            }
        }
        Ok(copied)
    }

    /// Deletes the run's copies that nothing refers to, and returns how many stay.
    pub(super) async fn drop_copies(
        &mut self,
        session: &mut PgConnection,
        run: RunId,
        copied: &BTreeSet<usize>,
    ) -> Result<u64, Error> {
        let graph = self.graph;
        let mut kept = 0;
        let mut order = graph.parents_first(copied);
        order.reverse();
        for place in order {
            let table = &graph.tables[place].name;
            let (sweep, drop) = self.dropping(place);
            for (id, org, copies) in self.records_of_copies(session, table).await? {
                let mut transaction = session.begin().await?;
                moves::as_organization(&mut transaction, Some(&org)).await?;
                for sweep in &sweep {
                    sqlx::query(sweep.sql())
                        .persistent(false)
                        .bind(&copies)
                        .bind(&org)
                        .execute(&mut *transaction)
                        .await
                        .context(deleting(table))?;
                }
                let (dropped, all): (i64, i32) = sqlx::query_as(drop.sql())
                    .persistent(false)
                    .bind(&copies)
                    .bind(&org)
                    .fetch_one(&mut *transaction)
                    .await
                    .context(deleting(table))?;
                moves::mark_undone(&mut transaction, id, run).await?;
                transaction.commit().await.context(deleting(table))?;
                self.done[place].1 += dropped.unsigned_abs();
                kept += (i64::from(all) - dropped).unsigned_abs();
            }
        }
        Ok(kept)
    }

    /// The run's records of copies of rows of `table`: the record, whose the copies are, and their keys.
    async fn records_of_copies(
        &self,
        session: &mut PgConnection,
        table: &QualifiedName,
    ) -> Result<Vec<(i64, String, Vec<String>)>, Error> {
        let records = sqlx::query_as(
            "SELECT id, to_org, copies FROM stockfoil.move
             WHERE run_id = $1 AND copies IS NOT NULL AND undone_run IS NULL AND schema_name = $2 AND table_name = $3 ORDER BY id",
        )
        .bind(self.request.run)
        .bind(table.schema.as_str())
        .bind(table.name.as_str())
        .fetch_all(session)
        .await
        .context(deleting(table))?;
        Ok(records)
    }

    /// The statements that delete copies in one table: first balances of theirs, then the copies themselves.
    fn dropping(&self, place: usize) -> (Vec<Statement>, Statement) {
        let Self { model, graph, .. } = *self;
        let table = &graph.tables[place];
        let (keys, is_c, is_used) = (table.key_from("i.id"), table.is("p", "c"), self.is_used(place));
        let more: [(&str, &dyn Fragment); 3] =
            [("keys_from_id", &keys), ("p.is_c", &is_c), ("is_used", &is_used)];
        let drop = graph.of_table(model, place, include_str!("../drop_copies.sql"), &more);
        // No row of an adopted table is deleted, whatever it holds.
        let of_balances = graph.from_outside.iter().filter(|reference| {
            reference.parent == place
                && reference.child_table == model.balances.table
                && !model.balances.is_adopted
        });
        let sweep = of_balances
            .map(|reference| {
                let refers = refers("u", &reference.columns);
                let more: [(&str, &dyn Fragment); 4] = [
                    ("keys_from_id", &keys),
                    ("p.is_c", &is_c),
                    ("is_used", &is_used),
                    ("u.refers_p", &refers),
                ];
                graph.of_table(model, place, include_str!("../drop_balances.sql"), &more)
            })
            .collect();
        (sweep, drop)
    }

    /// That a row of any table, but for balances of zero, refers to the row `p`.
    fn is_used(&self, place: usize) -> Statement {
        let Self { graph, .. } = *self;
        let inside = graph
            .edges
            .iter()
            .filter(|edge| edge.parent == place)
            .map(|edge| (&graph.tables[edge.child].name, &edge.columns));
        let outside = graph
            .from_outside
            .iter()
            .filter(|reference| reference.parent == place)
            .map(|reference| (&reference.child_table, &reference.columns));
        let balances = &self.model.balances;
        let each = inside.chain(outside).map(|(table, columns)| {
            let refers = refers("u", columns);
            // A balance of zero is what is left of entries that are gone.
            let counts = match *table == balances.table && !balances.is_adopted {
                true => render(" AND u.{quantity} <> 0", &[("quantity", &balances.quantity)]),
                false => render("", &[]),
            };
            render(
                "EXISTS (SELECT FROM {table} AS u WHERE {refers}{counts})",
                &[("table", table), ("refers", &refers), ("counts", &counts)],
            )
        });
        let each: Vec<Statement> = std::iter::once(render("false", &[])).chain(each).collect();
        joined(&each, " OR ")
    }
}

fn deleting(table: &QualifiedName) -> String {
    format!("delete copies in {}", table.plain())
}
