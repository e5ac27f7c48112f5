//! Rows of an adopted table of balances, which hold more than a quantity: each goes with the last of its entries.
//!
//! Triggers, or the run itself, give an entry's quantity to the balance of its new key. So before an entry moves, that
//! balance is made, empty, unless it is there; and when all entries of a key have gone, the row that they left takes
//! its place, with its own primary key and whatever else it holds. All of that is one transaction: the row that was made
//! is seen by nobody, and no row that anybody has seen is deleted.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection};

use super::{
    super::moves::{self, DataError, Graph, guard, guard::Sight},
    ways,
};
use crate::{
    Error, catalog,
    db::Context as _,
    history::RunId,
    model::{BalanceColumn, Model, Posting, Term, joined},
    sql::{Definition, Fixed, Fragment, Ident, Statement, render},
};

/// The rows of one run.
pub(super) struct Stock<'a> {
    model: &'a Model,
    graph: &'a Graph,
    /// The ledger among the tables.
    ledger: usize,
    from: &'a str,
    to: &'a str,
    /// The tables whose rows are copied: what refers to them by its key is pointed to the copies.
    copied: &'a BTreeSet<usize>,
    key: Vec<(Ident, Definition)>,
}

/// What became of the rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settled {
    /// Rows that went with their entries.
    pub(super) moved: u64,
    /// Rows that stay: entries of theirs stay too, or the other organization has a row of that key.
    pub(super) left: u64,
}

impl Settled {
    /// What the operator should know of the rows that stay with `org`.
    pub(super) fn warning(self, model: &Model, org: &str) -> Option<String> {
        let table = model.balances.table.plain();
        (self.left > 0).then(|| {
            format!(
                "{} rows of {table} stay with {org}, with what else they hold, while their entries' quantities have gone: other entries of theirs stay, they differ from their entries, or a row of that key is there already",
                self.left
            )
        })
    }
}

impl<'a> Stock<'a> {
    /// None where the balances are Stockfoil's own, which hold nothing but what their entries say.
    pub(super) async fn of(
        session: &mut PgConnection,
        model: &'a Model,
        graph: &'a Graph,
        (from, to): (&'a str, &'a str),
        copied: &'a BTreeSet<usize>,
    ) -> Result<Option<Self>, Error> {
        let Some(ledger) = graph.place(&model.ledger.table).filter(|_| model.balances.is_adopted) else {
            return Ok(None);
        };
        let key = catalog::primary_key(session, &model.balances.table).await?;
        let stock = Self { model, graph, ledger, from, to, copied, key };
        let create = stock.render(include_str!("stock_table.sql"), &[]);
        let index = stock.render(
            "CREATE UNIQUE INDEX IF NOT EXISTS stockfoil_stock_key ON pg_temp.stockfoil_stock (item, location, lot) NULLS NOT DISTINCT",
            &[],
        );
        for statement in [create, index] {
            stock.execute(session, &statement, &[]).await?;
        }
        Ok(Some(stock))
    }

    /// The balances that would go with their entries.
    fn going(&self) -> Statement {
        let entries = self.graph.of_table(
            self.model,
            self.ledger,
            "(SELECT t.* FROM {table} AS t JOIN {closure} AS c ON {t.is_c} WHERE NOT c.shared AND t.{org} = $1::text::{org.type}) AS held",
            &[],
        );
        let moving = self.model.entries(&entries);
        self.render(include_str!("stock_going.sql"), &[("moving_entries", &moving)])
    }

    /// How many rows would go with their entries.
    pub(super) async fn count(&self, session: &mut PgConnection) -> Result<u64, Error> {
        let count = render("SELECT count(*) FROM ({going}) AS g", &[("going", &self.going())]);
        let rows: i64 = sqlx::query_scalar(count.sql())
            .persistent(false)
            .bind(self.from)
            .fetch_one(session)
            .await
            .context(self.context())?;
        Ok(rows.unsigned_abs())
    }

    /// Refuses to move entries with whose balances rows would have to go that nobody selected: they refer to them.
    pub(super) async fn refuse_referred(&self, session: &mut PgConnection) -> Result<(), Error> {
        self.refuse_referring(session, &self.going()).await
    }

    /// Refuses that rows of two organizations refer to each other once `going` has gone: rows that refer to it, also by way of
    /// rows that are nobody's, balances that refer to balances, and what balances refer to beside their key.
    async fn refuse_referring(&self, session: &mut PgConnection, going: &Statement) -> Result<(), Error> {
        let balances = &self.model.balances.table;
        let first = self
            .render("SELECT b.* FROM {balances} AS b JOIN ({going}) AS d ON {b.is_d}", &[("going", going)]);
        let mut referring = Vec::new();
        for way in ways::onto(session, self.model, self.graph, balances, first).await? {
            let moves = self.graph.moves(self.model, way.place, "t");
            let more: [(&str, &dyn Fragment); 3] =
                [("reaching", &way.reaching), ("t.refers_p", &way.refers), ("t.moves", &moves)];
            let count =
                self.graph.of_table(self.model, way.place, include_str!("stock_referring.sql"), &more);
            let rows = self.count_rows(session, &count).await?;
            if rows > 0 {
                referring.push(way.describe(self.graph, rows));
            }
        }
        let (from, to) = (self.from.to_owned(), self.to.to_owned());
        if !referring.is_empty() {
            let (rows, balances) = (referring.join(", "), balances.plain());
            return Err(DataError::LeftBehind { rows, balances, org: to }.into());
        }
        let mut apart = self.kin(session, going).await?;
        apart.extend(self.beside(session, going).await?);
        match apart.is_empty() {
            true => Ok(()),
            false => {
                Err(DataError::Apart { rows: apart.join(", "), balances: balances.plain(), from, to }.into())
            }
        }
    }

    /// Balances that would be of another organization than a balance that they refer to.
    async fn kin(&self, session: &mut PgConnection, going: &Statement) -> Result<Vec<String>, Error> {
        let balances = &self.model.balances.table;
        let mut apart = Vec::new();
        for reference in catalog::references(session, std::slice::from_ref(balances)).await? {
            if reference.child_table != *balances {
                continue;
            }
            let refers = moves::refers("t", &self.without_org(reference.columns));
            let count = self.render(include_str!("stock_kin.sql"), &[("going", going), ("kin", &refers)]);
            let rows = self.count_rows(session, &count).await?;
            if rows > 0 {
                let (table, key) = (balances.plain(), reference.name.as_str());
                apart.push(format!("{rows} by foreign key {key} onto {table}"));
            }
        }
        Ok(apart)
    }

    /// Balances that would be of another organization than a row that they refer to beside their key.
    async fn beside(&self, session: &mut PgConnection, going: &Statement) -> Result<Vec<String>, Error> {
        let balances = &self.model.balances;
        let key: Vec<&Ident> = std::iter::once(&balances.item)
            .chain(&balances.location)
            .chain(&balances.lot)
            .map(|column| &column.name)
            .collect();
        let mut apart = Vec::new();
        for reference in self.graph.from_outside.iter().filter(|key| key.child_table == balances.table) {
            let parent = &self.graph.tables[reference.parent];
            let columns = self.without_org(reference.columns.clone());
            // By its key a row follows its entries, and people may be mentioned.
            if self.graph.people == Some(reference.parent)
                || columns.iter().all(|(column, _)| key.contains(&column))
            {
                continue;
            }
            let (refers, moves) =
                (moves::refers("b", &columns), self.graph.moves(self.model, reference.parent, "p"));
            let more: [(&str, &dyn Fragment); 4] =
                [("table", &parent.name), ("going", going), ("b.refers_p", &refers), ("p.moves", &moves)];
            let count = self.render(include_str!("stock_apart.sql"), &more);
            let rows = self.count_rows(session, &count).await?;
            if rows > 0 {
                let (table, key) = (parent.name.plain(), reference.name.as_str());
                apart.push(format!("{rows} by foreign key {key} onto {table}"));
            }
        }
        Ok(apart)
    }

    /// The columns of a foreign key but for the organization's.
    fn without_org(&self, columns: Vec<(Ident, Ident)>) -> Vec<(Ident, Ident)> {
        columns.into_iter().filter(|(column, _)| *column != self.model.org_column).collect()
    }

    /// What `count` counts, given both organizations.
    async fn count_rows(&self, session: &mut PgConnection, count: &Statement) -> Result<i64, Error> {
        let rows = sqlx::query_scalar(count.sql())
            .persistent(false)
            .bind(self.from)
            .bind(self.to)
            .fetch_one(session)
            .await
            .context(self.context())?;
        Ok(rows)
    }

    /// Puts aside whose entries are about to move, and makes the balances that these will be counted in.
    pub(super) async fn hold(&self, session: &mut PgConnection) -> Result<(), Error> {
        let entries = self.graph.of_table(
            self.model,
            self.ledger,
            "(SELECT t.* FROM {table} AS t JOIN {closure} AS c ON {t.is_c} WHERE c.n IS NOT NULL) AS held",
            &[],
        );
        let moving = self.model.entries(&entries);
        let (item, location, lot) = (
            self.copy_of("k.item", |posting| Some(&posting.item)),
            self.copy_of("k.location", |posting| posting.location.as_ref()),
            self.copy_of("k.lot", |posting| posting.lot.as_ref()),
        );
        let keys = self.render(
            include_str!("stock_keys.sql"),
            &[("moving_entries", &moving), ("to_item", &item), ("to_location", &location), ("to_lot", &lot)],
        );
        self.execute(session, &keys, &[self.from]).await?;
        let made = self.model.balance_rows(&Fixed("made"));
        let reserve = self.render(include_str!("stock_reserve.sql"), &[("made_rows", &made)]);
        self.execute(session, &reserve, &[self.to]).await
    }

    /// Lets each row whose entries have all gone take the place that was made for it, and records that for `run`; none where a
    /// run is undone, whose own record is what is marked.
    pub(super) async fn settle(
        &self,
        session: &mut PgConnection,
        run: Option<RunId>,
        sight: Sight,
    ) -> Result<Settled, Error> {
        let gone = self.model.balance_rows(&Fixed("gone"));
        let take = self.render(include_str!("stock_take.sql"), &[("gone_rows", &gone)]);
        self.execute(session, &take, &[self.from, self.to]).await?;
        let (set, key) = (self.set(), self.key_text());
        let follow = self.render(include_str!("stock_follow.sql"), &[("set_key", &set), ("row_key", &key)]);
        let keys = self.follow(session, &follow, sight).await?;
        let gone = self.render(include_str!("stock_gone.sql"), &[]);
        self.refuse_referring(session, &gone).await?;
        if let Some(run) = run.filter(|_| !keys.is_empty()) {
            let table = &self.model.balances.table;
            moves::record(session, run, table, Some(self.from), Some(self.to), &keys).await?;
        }
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM pg_temp.stockfoil_stock WHERE quantity IS NULL")
                .persistent(false)
                .fetch_one(session)
                .await
                .context(self.context())?;
        Ok(Settled { moved: keys.len() as u64, left: left.unsigned_abs() })
    }

    /// Lets rows follow, and nothing else with them; returns their keys.
    async fn follow(
        &self,
        session: &mut PgConnection,
        follow: &Statement,
        sight: Sight,
    ) -> Result<Vec<String>, Error> {
        let table = &self.model.balances.table;
        let mut attempt = session.begin().await?;
        let before = guard::written(&mut attempt, self.model, guard::Balances::Follow).await?;
        let keys = self.follow_once(&mut attempt, follow).await?;
        // Deferred triggers are looked at with all the rest.
        let touched = before.beyond(&mut attempt, self.model, &[(table, keys.len())]).await?;
        if touched.is_empty() {
            attempt.commit().await?;
            return Ok(keys);
        }
        sight.require_comparing(table)?;
        attempt.rollback().await?;
        let others = guard::others(session, self.model, self.graph, &touched, table, &[]).await?;
        let keys = self.follow_once(session, follow).await?;
        let after = guard::others(session, self.model, self.graph, &touched, table, &[]).await?;
        others.require(&after, table)?;
        Ok(keys)
    }

    async fn follow_once(
        &self,
        session: &mut PgConnection,
        follow: &Statement,
    ) -> Result<Vec<String>, Error> {
        let keys = sqlx::query_scalar(follow.sql())
            .persistent(false)
            .bind(self.from)
            .bind(self.to)
            .fetch_all(session)
            .await
            .context(self.context())?;
        Ok(keys)
    }

    /// Notes that what `undone` recorded of these rows is put back by `run`.
    pub(super) async fn mark_undone(
        &self,
        session: &mut PgConnection,
        undone: i64,
        run: RunId,
    ) -> Result<(), Error> {
        let table = &self.model.balances.table;
        sqlx::query(
            "UPDATE stockfoil.move SET undone_run = $2
             WHERE run_id = $1 AND schema_name = $3 AND table_name = $4 AND undone_run IS NULL",
        )
        .bind(undone)
        .bind(run)
        .bind(table.schema.as_str())
        .bind(table.name.as_str())
        .execute(session)
        .await
        .context(self.context())?;
        Ok(())
    }

    /// `part` of a key, or its copy's where the ledger's column refers to rows that are copied.
    fn copy_of(&self, part: &'static str, term: fn(&Posting) -> Option<&Term>) -> Statement {
        let columns: Vec<&Ident> = self
            .model
            .ledger
            .postings
            .iter()
            .filter_map(|posting| term(posting).and_then(|term| term.column.as_ref()))
            .collect();
        let edge = self.graph.edges.iter().find(|edge| {
            edge.child == self.ledger
                && self.copied.contains(&edge.parent)
                && matches!(edge.columns.as_slice(), [(column, _)] if columns.contains(&column))
        });
        let part = Fixed(part);
        match edge {
            None => render("{part}", &[("part", &part)]),
            Some(edge) => render(
                "coalesce((SELECT c.new FROM (SELECT m.new, m.old FROM {copies} AS m) AS c WHERE c.old::text = {part}::text)::text, {part}::text)",
                &[("copies", &self.graph.tables[edge.parent].copies), ("part", &part)],
            ),
        }
    }

    /// The assignments that give a row the key `d.to_...`.
    fn set(&self) -> Statement {
        let (balances, key) = (&self.model.balances, self.model.ledger.key);
        let parts: [(&'static str, Option<&BalanceColumn>, Option<_>); 3] = [
            ("d.to_item", Some(&balances.item), Some(key.item)),
            ("d.to_location", balances.location.as_ref(), key.location),
            ("d.to_lot", balances.lot.as_ref(), key.lot),
        ];
        let each = parts.into_iter().filter_map(|(part, column, key_type)| {
            let (column, key_type) = (column?, key_type?);
            let (part, key_type) = (Fixed(part), Fixed(key_type.name()));
            let value = match &column.cast {
                None => render("{part}::{type}", &[("part", &part), ("type", &key_type)]),
                Some(cast) => render("{part}::{cast}", &[("part", &part), ("cast", cast)]),
            };
            Some(render("{column} = {value}, ", &[("column", &column.name), ("value", &value)]))
        });
        joined(&each.collect::<Vec<_>>(), "")
    }

    /// The primary key of the row `b` as one text, as the records write keys; that of its balance where it has none.
    fn key_text(&self) -> Statement {
        let each: Vec<Statement> =
            self.key.iter().map(|(name, _)| render("b.{name}::text", &[("name", name)])).collect();
        match each.as_slice() {
            [] => render("jsonb_build_array(d.to_item, d.to_location, d.to_lot)::text", &[]),
            [only] => only.clone(),
            each => render("jsonb_build_array({each})::text", &[("each", &joined(each, ", "))]),
        }
    }

    fn render(&self, template: &'static str, more: &[(&str, &dyn Fragment)]) -> Statement {
        self.model.render_with(template, more)
    }

    fn context(&self) -> String {
        format!("move rows of {} with their entries", self.model.balances.table.plain())
    }

    async fn execute(
        &self,
        session: &mut PgConnection,
        statement: &Statement,
        binds: &[&str],
    ) -> Result<(), Error> {
        let mut query = sqlx::query(statement.sql()).persistent(false);
        for bind in binds {
            query = query.bind(*bind);
        }
        query.execute(session).await.context(self.context())?;
        Ok(())
    }
}
