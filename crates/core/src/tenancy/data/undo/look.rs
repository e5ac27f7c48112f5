//! What of a run can go back, and what keeps it from that.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::{
    super::{
        closure,
        conflicts::{self, Conflict},
        report::by_table,
        transfer,
    },
    Elsewhere, InTheWay, Moved, Undone, Work,
};
use crate::{
    Error,
    db::Context as _,
    sql::{Fragment, Literal, QualifiedName, render},
};

/// By organization that rows go back to.
type ByOrganization<T> = BTreeMap<Option<String>, T>;

/// What was found so far.
#[derive(Default)]
struct Seen {
    elsewhere: Vec<Elsewhere>,
    conflicts: Vec<Conflict>,
    records: Vec<Moved>,
    /// The organizations that the run gave to.
    orgs: BTreeSet<String>,
}

impl Work<'_> {
    /// What goes back, and what keeps it from that.
    pub(super) async fn look(&mut self, session: &mut PgConnection) -> Result<(Undone, Vec<Moved>), Error> {
        let Self { model, graph, request, .. } = *self;
        closure::create_tables(session, model, graph).await?;
        let mut seen = Seen::default();
        for (place, _) in graph.tables.iter().enumerate().filter(|(_, table)| !table.key.is_empty()) {
            self.look_at(session, place, &mut seen).await?;
        }
        let Seen { elsewhere, conflicts, records, orgs } = seen;
        let mut in_the_way = Vec::new();
        for org in &orgs {
            in_the_way.extend(self.left_behind(session, org).await?);
        }
        let rows = self.done.iter().map(|(rows, _)| rows).sum();
        let stopped = match request.expect {
            Some(expect) if expect != rows => {
                Some(format!("--expect says {expect}, but {rows} rows would go back"))
            }
            _ if !in_the_way.is_empty() => Some(format!(
                "rows that are not of run {} refer to its rows; move them first, or undo the run that moved them",
                request.run
            )),
            _ if !conflicts.is_empty() => {
                Some(format!("{} of them can't go back, because a key of theirs is taken", conflicts.len()))
            }
            _ => None,
        };
        let report = Undone {
            command: request.command,
            undone_run: request.run,
            dry_run: request.dry_run,
            run_id: None,
            applied: false,
            stopped,
            rows,
            tables: by_table(graph, &self.done),
            balance_rows: 0,
            copies_kept: 0,
            elsewhere,
            conflicts,
            in_the_way,
        };
        Ok((report, records))
    }

    /// Looks at the rows of one table that the run gave.
    async fn look_at(
        &mut self,
        session: &mut PgConnection,
        place: usize,
        seen: &mut Seen,
    ) -> Result<(), Error> {
        let Self { model, graph, .. } = *self;
        let rows = self.records(session, &graph.tables[place].name).await?;
        if rows.is_empty() {
            return Ok(());
        }
        self.put_aside(session, place).await?;
        seen.elsewhere.extend(self.leave_out_elsewhere(session, place).await?);
        let mut by_org: ByOrganization<Vec<i64>> = ByOrganization::new();
        for (id, from, to) in rows {
            by_org.entry(from.clone()).or_default().push(id);
            seen.orgs.insert(to.clone());
            seen.records.push(Moved { place, id, from, to, rows: None });
        }
        for (org, ids) in by_org {
            let Some(org) = org else { continue };
            let ids = Literal::new(&format!(
                "{{{}}}",
                ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            ));
            let arrives = render("c.move_id = ANY ({ids}::bigint[])", &[("ids", &ids)]);
            seen.conflicts.extend(conflicts::find(session, model, graph, place, &arrives, &org).await?);
        }
        self.number(session, place, seen).await
    }

    /// What the run recorded of `table`: the record, who gave and who got.
    async fn records(
        &self,
        session: &mut PgConnection,
        table: &QualifiedName,
    ) -> Result<Vec<(i64, Option<String>, String)>, Error> {
        let records = sqlx::query_as(
            "SELECT id, from_org, to_org FROM stockfoil.move
                 WHERE run_id = $1 AND copies IS NULL AND undone_run IS NULL AND schema_name = $2 AND table_name = $3 ORDER BY id",
        )
        .bind(self.request.run)
        .bind(table.schema.as_str())
        .bind(table.name.as_str())
        .fetch_all(session)
        .await
        .context("read what the run moved")?;
        Ok(records)
    }

    async fn put_aside(&self, session: &mut PgConnection, place: usize) -> Result<(), Error> {
        let table = &self.graph.tables[place];
        let keys = table.key_from("i.id");
        let more: [(&str, &dyn Fragment); 1] = [("keys_from_id", &keys)];
        let put_aside = self.graph.of_table(self.model, place, include_str!("../put_back.sql"), &more);
        sqlx::query(put_aside.sql())
            .persistent(false)
            .bind(self.request.run)
            .bind(table.name.schema.as_str())
            .bind(table.name.name.as_str())
            .execute(session)
            .await
            .context(format!("look for the rows of {}", table.name.plain()))?;
        Ok(())
    }

    /// Leaves out which of the rows put aside are no longer where the run put them, and returns these.
    async fn leave_out_elsewhere(
        &self,
        session: &mut PgConnection,
        place: usize,
    ) -> Result<Vec<Elsewhere>, Error> {
        let Self { model, graph, .. } = *self;
        let table = &graph.tables[place];
        let name = table.name.plain();
        let text = table.closure_text("c");
        let statement =
            graph.of_table(model, place, include_str!("../elsewhere.sql"), &[("c.key_text", &text)]);
        let others: Vec<(String, Option<String>)> = sqlx::query_as(statement.sql())
            .persistent(false)
            .fetch_all(&mut *session)
            .await
            .context(format!("look where the rows of {name} are"))?;
        let drop = graph.of_table(
            model,
            place,
            "DELETE FROM {closure} AS c WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE {t.is_c} AND t.{org}::text = c.org)",
            &[],
        );
        sqlx::query(drop.sql())
            .persistent(false)
            .execute(session)
            .await
            .context("leave out what is elsewhere")?;
        let elsewhere =
            others.into_iter().map(|(key, org_id)| Elsewhere { table: name.clone(), key, org_id });
        Ok(elsewhere.collect())
    }

    /// Numbers the rows of one table that go back, and notes which are of which record.
    async fn number(
        &mut self,
        session: &mut PgConnection,
        place: usize,
        seen: &mut Seen,
    ) -> Result<(), Error> {
        let Self { model, graph, .. } = *self;
        // A run that a file asked for has several organizations that get.
        let orgs: Vec<&str> = seen.orgs.iter().map(String::as_str).collect();
        let last = transfer::number(session, model, graph, place, &orgs).await?;
        self.done[place].0 = last.unsigned_abs();
        let ranges = graph.of_table(
            model,
            place,
            "SELECT move_id, min(n), max(n) FROM {closure} WHERE n IS NOT NULL GROUP BY 1",
            &[],
        );
        let ranges: Vec<(i64, i64, i64)> = sqlx::query_as(ranges.sql())
            .persistent(false)
            .fetch_all(session)
            .await
            .context("number the rows")?;
        for (id, first, last) in ranges {
            if let Some(record) = seen.records.iter_mut().find(|record| record.id == id) {
                record.rows = Some((first, last));
            }
        }
        Ok(())
    }

    /// Rows of `org` that refer to rows that go back, and are not among these.
    async fn left_behind(&self, session: &mut PgConnection, org: &str) -> Result<Vec<InTheWay>, Error> {
        let Self { model, graph, .. } = *self;
        let mut found = Vec::new();
        // A key that holds the organization lets nobody be put back alone who is mentioned there.
        for edge in graph.edges.iter().filter(|edge| !edge.is_mention || edge.holds_org) {
            let (child, parent) = (&graph.tables[edge.child], &graph.tables[edge.parent]);
            if self.done[edge.parent].0 == 0 || child.key.is_empty() {
                continue;
            }
            let statement = graph.of_edge(model, edge, include_str!("../left_behind.sql"), &[]);
            let rows: i64 = sqlx::query_scalar(statement.sql())
                .persistent(false)
                .bind(org)
                .fetch_one(&mut *session)
                .await
                .context("look for rows that would be left behind")?;
            if rows > 0 {
                found.push(InTheWay { table: child.name.plain(), referred: parent.name.plain(), rows });
            }
        }
        for (place, parent) in graph.tables.iter().enumerate().filter(|(place, _)| self.done[*place].0 > 0) {
            for left in closure::left_behind(session, model, graph, place, org).await? {
                let (table, referred) = (graph.tables[left.place].name.plain(), parent.name.plain());
                found.push(InTheWay { table, referred, rows: left.rows });
            }
        }
        Ok(found)
    }
}
