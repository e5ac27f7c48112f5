//! Which rows belong together: everything below the selection, and above it what nothing else refers to.
//!
//! Downwards, every row that refers to one that moves, moves: a location's entries and count sheets, a sheet's lines.
//! Upwards, what a moving row refers to (its item, its document) moves if all that refers to it moves, and is shared
//! otherwise. Rows of both organizations are looked at, so that a run that was killed, or rows that arrive while it
//! works, change nothing in what belongs together; what is left to move are those of the organization that gives.

use std::collections::BTreeSet;

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use super::{
    super::moves::{Edge, Graph, Table},
    conflicts::{self, Conflict},
    copies::Copies,
    selection::Root,
    ways,
};
use crate::{
    Error,
    db::Context as _,
    model::Model,
    org_id::OrgId,
    sql::{Fixed, Fragment, Literal, Statement, render},
};

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
    /// Rows of the organization that gives which lead, by way of rows that are nobody's, to rows that move.
    pub(super) left_behind: Vec<String>,
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

/// Rows that lead, by way of rows that are nobody's, to rows put aside.
pub(super) struct LeftBehind {
    /// The table of these rows among the graph's.
    pub(super) place: usize,
    /// How many.
    pub(super) rows: i64,
    /// The same for a person.
    pub(super) text: String,
}

/// The rows of `org` that lead to rows of one table that move, by way of rows that are nobody's, and do not move. Of people
/// who are moved by themselves nothing is said.
pub(super) async fn left_behind(
    session: &mut PgConnection,
    model: &Model,
    graph: &Graph,
    place: usize,
    org: &str,
) -> Result<Vec<LeftBehind>, Error> {
    let table = &graph.tables[place];
    let people = graph.people;
    let mut found = Vec::new();
    if table.key.is_empty() || people == Some(place) {
        return Ok(found);
    }
    let first = "SELECT t.* FROM {table} AS t JOIN {closure} AS c ON {t.is_c} WHERE NOT c.shared";
    let first = graph.of_table(model, place, first, &[]);
    for way in ways::onto(session, model, graph, &table.name, first).await? {
        if !way.is_indirect() || people == Some(way.place) {
            continue;
        }
        let moves = graph.moves(model, way.place, "t");
        let more: [(&str, &dyn Fragment); 3] =
            [("reaching", &way.reaching), ("t.refers_p", &way.refers), ("t.moves", &moves)];
        let count = graph.of_table(model, way.place, include_str!("reaching.sql"), &more);
        let rows: i64 = sqlx::query_scalar(count.sql())
            .persistent(false)
            .bind(org)
            .fetch_one(&mut *session)
            .await
            .context("look for rows that would be left behind")?;
        if rows > 0 {
            let text = format!("{} refer to rows of {}", way.describe(graph, rows), table.name.plain());
            found.push(LeftBehind { place: way.place, rows, text });
        }
    }
    Ok(found)
}

impl<'a> Closure<'a> {
    /// The shared rows of which each side gets its own.
    pub(super) fn copies(&self) -> Copies<'a> {
        let Self { model, graph, from, to, copied, .. } = *self;
        Copies { model, graph, from, to, tables: copied }
    }

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
    fn edges(&self) -> impl Iterator<Item = &Edge> {
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
        let copies = self.copies();
        copies.look_up(session).await?;
        let mut found = Found { rows: self.count_rows(session).await?, ..Found::default() };
        for edge in self.edges() {
            found.shared.extend(self.shared_by(session, edge).await?);
        }
        for place in (0..graph.tables.len()).filter(|place| found.rows[*place].0 > 0) {
            let left = left_behind(session, model, graph, place, self.from.as_str()).await?;
            found.left_behind.extend(left.into_iter().map(|left| left.text));
        }
        for edge in
            graph.edges.iter().filter(|edge| edge.is_mention && !graph.tables[edge.child].key.is_empty())
        {
            found.mentions.extend(self.mentions(session, edge).await?);
        }
        for (place, _) in self.kept() {
            let arrives = render(
                "(c.org = {from} AND (NOT c.shared OR {copied}))",
                &[("from", &Literal::new(self.from.as_str())), ("copied", &copies.due(place))],
            );
            found
                .conflicts
                .extend(conflicts::find(session, model, graph, place, &arrives, self.to.as_str()).await?);
        }
        Ok(found)
    }

    /// By table: how many rows move, and how many are to be copied.
    async fn count_rows(&self, session: &mut PgConnection) -> Result<Vec<(u64, u64)>, Error> {
        let Self { model, graph, .. } = *self;
        let mut counted = vec![(0, 0); graph.tables.len()];
        for (place, _) in self.kept() {
            let copied = self.copies().due(place);
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
            counted[place] = (rows.unsigned_abs(), copies.unsigned_abs());
        }
        Ok(counted)
    }

    /// The rows that are shared since rows of both sides refer to them by `edge`.
    async fn shared_by(&self, session: &mut PgConnection, edge: &Edge) -> Result<Vec<Shared>, Error> {
        let Self { model, graph, .. } = *self;
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
            return Ok(Vec::new());
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
        let shared = rows.into_iter().map(|(key, label, moving, staying)| Shared {
            table: parent.name.plain(),
            key,
            label,
            used_by: graph.tables[edge.child].name.plain(),
            moving,
            staying,
        });
        Ok(shared.collect())
    }

    /// The people outside the organization whom rows mention by `edge`, as [`Found::mentions`] has them.
    async fn mentions(
        &self,
        session: &mut PgConnection,
        edge: &Edge,
    ) -> Result<Option<(String, String, i64, bool)>, Error> {
        let Self { model, graph, .. } = *self;
        let statement = graph.of_edge(model, edge, include_str!("mentions.sql"), &[]);
        let rows: i64 = sqlx::query_scalar(statement.sql())
            .persistent(false)
            .bind(self.from)
            .bind(self.to)
            .fetch_one(session)
            .await
            .context("count the people who are mentioned")?;
        let table = graph.tables[edge.child].name.plain();
        Ok((rows > 0).then(|| (table, edge.name.as_str().to_owned(), rows, edge.holds_org)))
    }
}
