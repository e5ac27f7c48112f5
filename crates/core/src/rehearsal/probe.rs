//! The writes to each tenant table, and to others whose triggers lead to one, that are tried, as its owner and as each role that was given the right.

use sqlx::PgConnection;

use super::{
    action::{Action, Kind, Trial},
    functions,
};
use crate::{
    Error,
    catalog::{self, Timing, UniqueKey},
    db::{Context as _, DbError},
    example::{New, Row, Table},
    model::Model,
    sql::{Definition, Ident, List, QualifiedName, Statement, render},
};

/// So many rows are tried to be deleted, since something may refer to one.
pub(super) const DELETED_MAX: usize = 5;

/// So many columns are tried to be set by an INSERT that finds its row there.
const UPSERTS_MAX: usize = 3;

/// Who may do what with a table or a view.
pub(super) struct User {
    role: Ident,
    selects: bool,
    pub(super) inserts: bool,
    pub(super) updates: bool,
    pub(super) deletes: bool,
}

/// The tables whose writes are tried: the tenant tables of `model`, and others whose triggers or rules lead to one.
pub(super) async fn tables(session: &mut PgConnection, model: &Model) -> Result<Vec<QualifiedName>, Error> {
    let names: Vec<&str> = model.tenant_tables.iter().map(|table| table.name.as_str()).collect();
    let tenants: Vec<String> = model.tenant_tables.iter().map(ToString::to_string).collect();
    let others: Vec<(String, String)> = sqlx::query_as(include_str!("tables/others.sql"))
        .bind(names)
        .bind(tenants)
        .fetch_all(session)
        .await
        .context("list the tables whose triggers lead to tenant tables")?;
    let mut tables = model.tenant_tables.clone();
    for (schema, name) in others {
        tables.push(QualifiedName::new(Ident::new(schema)?, Ident::new(name)?));
    }
    Ok(tables)
}

/// The trials of `tables`; what can't be tried goes to `not_probed`.
pub(super) async fn of_tables(
    session: &mut PgConnection,
    model: &Model,
    tables: &[QualifiedName],
    not_probed: &mut Vec<String>,
) -> Result<Vec<Trial>, Error> {
    let mut trials = Vec::new();
    for name in tables {
        let table = Table::read(session, name, &model.org_column).await?;
        let plain = name.plain();
        let what = || format!("read rows of {plain}");
        let rows = table.rows(session, None, DELETED_MAX).await.context(what())?;
        if rows.is_empty() {
            not_probed.push(format!("writes to {plain}: it has no rows to make another one like"));
            if !model.tenant_tables.contains(name) {
                trials.extend(made_up(session, model, &table).await?);
            }
            continue;
        }
        let mut new = Vec::new();
        for how in [New::Behind, New::Before] {
            new.extend(table.rows(session, Some(how), 1).await.context(what())?);
        }
        let keys = catalog::unique_keys(session, name).await?;
        for user in users(session, &table).await? {
            let insert = if *name == model.balances.table { Kind::Balance } else { Kind::Insert };
            let (copies, infers) = (true, true);
            let probed = Probed {
                table: &table,
                what: "",
                rows: &rows,
                new: &new,
                keys: &keys,
                insert,
                copies,
                infers,
            };
            trials.extend(probed.trials(&user));
        }
    }
    Ok(trials)
}

/// INSERTs of made-up values into a table that has no rows, and never has any where a rule or a trigger puts them elsewhere.
async fn made_up(session: &mut PgConnection, model: &Model, table: &Table) -> Result<Vec<Trial>, Error> {
    let mut objects = Vec::new();
    for tenant in &model.tenant_tables {
        objects.extend(functions::object(session, tenant, model).await?);
    }
    let mut trials = Vec::new();
    for user in users(session, table).await?.into_iter().filter(|user| user.inserts) {
        trials.extend(table.made_up(&objects).iter().map(|row| Trial {
            what: format!("INSERT of made-up values into {}", table.name.plain()),
            kind: Kind::Further,
            role: Some(user.role.clone()),
            ways: vec![vec![Action::Run(table.insert(row, &[]))]],
        }));
    }
    Ok(trials)
}

/// The triggers of `tables` that nothing that was tried in `session` made run.
pub(super) async fn silent_triggers(
    session: &mut PgConnection,
    tables: &[QualifiedName],
) -> Result<Vec<String>, DbError> {
    const WHAT: &str = "look which triggers ran";
    sqlx::raw_sql("SELECT pg_stat_force_next_flush()").execute(&mut *session).await.context(WHAT)?;
    let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
    let rows: Vec<(String, String)> = sqlx::query_as(include_str!("tables/triggers.sql"))
        .bind(tables)
        .fetch_all(session)
        .await
        .context(WHAT)?;
    let told = |(trigger, table)| format!("trigger {trigger} of {table}: nothing that was tried made it run");
    Ok(rows.into_iter().map(told).collect())
}

pub(super) async fn users(session: &mut PgConnection, table: &Table) -> Result<Vec<User>, Error> {
    let rows: Vec<(String, bool, bool, bool, bool)> = sqlx::query_as(include_str!("tables/users.sql"))
        .bind(table.name.to_string())
        .fetch_all(session)
        .await
        .context(format!("read who uses {}", table.name.plain()))?;
    rows.into_iter()
        .map(|(role, selects, inserts, updates, deletes)| {
            Ok(User { role: Ident::new(role)?, selects, inserts, updates, deletes })
        })
        .collect()
}

/// A table or view, its rows, and what new ones would be.
pub(super) struct Probed<'a> {
    pub(super) table: &'a Table,
    /// What stands before its name in a message.
    pub(super) what: &'static str,
    pub(super) rows: &'a [Row],
    pub(super) new: &'a [Row],
    pub(super) keys: &'a [UniqueKey],
    /// What an INSERT into it is.
    pub(super) insert: Kind,
    /// Whether COPY puts rows into it: not into a view that only the server's own rules write through.
    pub(super) copies: bool,
    /// Whether ON CONFLICT can name its primary key: not of a view that triggers write through.
    pub(super) infers: bool,
}

impl Probed<'_> {
    /// What `user` does with it.
    pub(super) fn trials(&self, user: &User) -> Vec<Trial> {
        let mut trials = Vec::new();
        if user.selects {
            let read = render("SELECT * FROM {table} LIMIT 10", &[("table", &self.table.name)]);
            let kind = if self.insert == Kind::Balance { Kind::Balance } else { Kind::Other };
            trials.push(self.trial(user, "SELECT * from", kind, vec![vec![Action::Run(read)]]));
        }
        if user.inserts {
            trials.extend(self.inserts(user));
        }
        if user.updates {
            trials.extend(self.updates(user));
        }
        if user.deletes {
            trials.push(self.trial(user, "DELETE from", Kind::Other, self.deletes(user)));
        }
        trials.retain(|trial| !trial.ways.is_empty());
        trials
    }

    fn trial(&self, user: &User, what: &str, kind: Kind, ways: Vec<Vec<Action>>) -> Trial {
        let what = format!("{what} {}{}", self.what, self.table.name.plain());
        Trial { what, kind, role: Some(user.role.clone()), ways }
    }

    fn inserts(&self, user: &User) -> Vec<Trial> {
        let each = |way: &dyn Fn(&Row) -> Option<Vec<Action>>| self.new.iter().filter_map(way).collect();
        let run = |statement: Statement| Some(vec![Action::Run(statement)]);
        let mut trials = vec![
            self.trial(user, "INSERT into", self.insert, each(&|row| run(self.table.insert(row, &[])))),
            self.trial(
                user,
                "INSERT without a list of columns into",
                self.insert,
                each(&|row| run(self.insert_by_position(row))),
            ),
            self.trial(
                user,
                "COPY without a list of columns into",
                Kind::CopyByPosition,
                each(&|row| self.copy_by_position(row).filter(|_| self.copies)),
            ),
        ];
        if let Some(org) = self.table.columns.iter().position(|column| column.is_org) {
            let wanted = [self.table.columns[org].name.clone()];
            let ways = each(&|row| row[org].as_ref().and_then(|_| run(self.table.insert(row, &wanted))));
            let kind = if self.insert == Kind::Balance { Kind::Balance } else { Kind::Other };
            trials.push(self.trial(user, "INSERT that names the organization into", kind, ways));
        }
        let targets = self.keys.iter().filter_map(|key| self.on_conflict(key));
        for (columns, target) in targets.chain(self.on_primary().filter(|_| self.infers)) {
            let on = |does: &str, ways| {
                self.trial(user, &format!("ON CONFLICT ({columns}) {does} of"), Kind::OnConflict, ways)
            };
            let nothing = render("{target} DO NOTHING", &[("target", &target)]);
            trials.push(on("DO NOTHING", vec![vec![Action::Run(nothing)]]));
            // It reads what it updates.
            if user.updates && user.selects {
                trials.push(on("DO UPDATE", self.upserts(&target)));
            }
        }
        trials
    }

    /// Of each column alone, so that a trigger of that column or of that change runs, and of all that may be changed.
    fn updates(&self, user: &User) -> Vec<Trial> {
        let Some(row) = self.rows.first().map(|row| self.which(row)) else { return Vec::new() };
        let update = |set: List<Statement>| {
            vec![Action::Run(render(
                "UPDATE {table} SET {set} WHERE {row}",
                &[("table", &self.table.name), ("set", &set), ("row", &row)],
            ))]
        };
        let all = [true, false].map(|is_changed| self.table.updated(is_changed));
        let ways = all.into_iter().flatten().map(update).collect();
        let mut trials = vec![self.trial(user, "UPDATE of", Kind::Update, ways)];
        for column in self.table.columns.iter().filter(|column| !column.is_always) {
            let ways = [true, false].map(|is_changed| update(List(vec![column.updated(is_changed)])));
            let what = format!("UPDATE of {} in", column.name.as_str());
            trials.push(self.trial(user, &what, Kind::Update, ways.into()));
        }
        trials
    }

    fn deletes(&self, user: &User) -> Vec<Vec<Action>> {
        let mut ways: Vec<Vec<Action>> = self.rows.iter().map(|row| vec![self.delete(row)]).collect();
        // Where something refers to all of them: one that was just made.
        if user.inserts {
            let primary = self.table.columns.iter().filter(|column| column.is_primary);
            let key: Vec<Ident> = primary.map(|column| column.name.clone()).collect();
            ways.extend(
                self.new.iter().map(|row| vec![Action::Run(self.table.insert(row, &key)), self.delete(row)]),
            );
        }
        ways
    }

    fn delete(&self, row: &Row) -> Action {
        let row = self.which(row);
        Action::Run(render("DELETE FROM {table} WHERE {row}", &[("table", &self.table.name), ("row", &row)]))
    }

    /// What finds `row`, and all where no key tells it from the others.
    fn which(&self, row: &Row) -> Statement {
        self.table.identity(row).unwrap_or_else(|| render("true", &[]))
    }

    fn insert_by_position(&self, row: &Row) -> Statement {
        render(
            "INSERT INTO {table} VALUES ({values})",
            &[("table", &self.table.name), ("values", &List(self.table.by_position(row)))],
        )
    }

    fn copy_by_position(&self, row: &Row) -> Option<Vec<Action>> {
        let values = List(self.table.all_values(row)?);
        let into = render("COPY {table} FROM STDIN", &[("table", &self.table.name)]);
        Some(vec![Action::Copy(into, render("COPY (VALUES ({values})) TO STDOUT", &[("values", &values)]))])
    }

    /// `target` with each column that may be any value, the first that works, set to what was proposed for it.
    fn upserts(&self, target: &Statement) -> Vec<Vec<Action>> {
        let plain = self.table.columns.iter().filter(|column| column.may_be_set());
        let ways = plain.map(|column| {
            vec![Action::Run(render(
                "{target} DO UPDATE SET {column} = excluded.{column}",
                &[("target", target), ("column", &column.name)],
            ))]
        });
        ways.take(UPSERTS_MAX).collect()
    }

    /// A row that is there once more, up to what is done where this key has it already; none for a key that ON CONFLICT
    /// can't name.
    fn on_conflict(&self, key: &UniqueKey) -> Option<(String, Statement)> {
        if !key.valid || key.constraint.is_some_and(|timing| timing != Timing::Immediate) {
            return None;
        }
        let columns: Vec<Ident> =
            key.columns.iter().flatten().filter_map(|name| Ident::new(name.clone()).ok()).collect();
        let parts: Vec<Statement> =
            key.parts.iter().map(|part| render("{part}", &[("part", part)])).collect();
        self.target(columns, parts, key.predicate.as_ref())
    }

    /// The same of the primary key; none where there is none.
    fn on_primary(&self) -> Option<(String, Statement)> {
        let primary = self.table.columns.iter().filter(|column| column.is_primary);
        let columns: Vec<Ident> = primary.map(|column| column.name.clone()).collect();
        let parts: Vec<Statement> =
            columns.iter().map(|column| render("{column}", &[("column", column)])).collect();
        if parts.is_empty() { None } else { self.target(columns, parts, None) }
    }

    fn target(
        &self,
        columns: Vec<Ident>,
        parts: Vec<Statement>,
        predicate: Option<&Definition>,
    ) -> Option<(String, Statement)> {
        let row = self.table.like(self.new.first()?, self.rows.first()?, &columns);
        let insert = self.table.insert(&row, &columns);
        let filter = match predicate {
            Some(predicate) => render(" WHERE {predicate}", &[("predicate", predicate)]),
            None => render("", &[]),
        };
        let names: Vec<String> = parts.iter().map(ToString::to_string).collect();
        let target = render(
            "{insert} ON CONFLICT ({parts}){filter}",
            &[("insert", &insert), ("parts", &List(parts)), ("filter", &filter)],
        );
        Some((names.join(", "), target))
    }
}
