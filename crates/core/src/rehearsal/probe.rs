//! The writes to each tenant table, and to others whose triggers lead to one, that are tried, as its owner and as each role that was given the right.

use sqlx::PgConnection;

use super::action::{Action, Kind, Trial};
use crate::{
    Error,
    catalog::{self, Timing, UniqueKey},
    db::{Context as _, DbError},
    example::{New, Row, Table},
    model::Model,
    sql::{Ident, List, QualifiedName, Statement, render},
};

/// So many rows are tried to be deleted, since something may refer to one.
const DELETED_MAX: usize = 5;

/// Who may do what with a table.
struct User {
    role: Ident,
    selects: bool,
    inserts: bool,
    updates: bool,
    deletes: bool,
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
            continue;
        }
        let mut new = Vec::new();
        for how in [New::Behind, New::Before] {
            new.extend(table.rows(session, Some(how), 1).await.context(what())?);
        }
        let keys = catalog::unique_keys(session, name).await?;
        for user in users(session, &table).await? {
            let insert = if *name == model.balances.table { Kind::Balance } else { Kind::Insert };
            trials
                .extend(Probed { table: &table, rows: &rows, new: &new, keys: &keys, insert }.trials(&user));
        }
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

async fn users(session: &mut PgConnection, table: &Table) -> Result<Vec<User>, Error> {
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

/// A table, its rows, and what new ones would be.
struct Probed<'a> {
    table: &'a Table,
    rows: &'a [Row],
    new: &'a [Row],
    keys: &'a [UniqueKey],
    /// What an INSERT into it is.
    insert: Kind,
}

impl Probed<'_> {
    fn trials(&self, user: &User) -> Vec<Trial> {
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
        let what = format!("{what} {}", self.table.name.plain());
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
                each(&|row| self.copy_by_position(row)),
            ),
        ];
        if let Some(org) = self.table.columns.iter().position(|column| column.is_org) {
            let wanted = [self.table.columns[org].name.clone()];
            let ways = each(&|row| row[org].as_ref().and_then(|_| run(self.table.insert(row, &wanted))));
            let kind = if self.insert == Kind::Balance { Kind::Balance } else { Kind::Other };
            trials.push(self.trial(user, "INSERT that names the organization into", kind, ways));
        }
        trials.extend(self.keys.iter().filter_map(|key| {
            let (columns, ways) = self.on_conflict(key)?;
            Some(self.trial(user, &format!("ON CONFLICT ({columns}) of"), Kind::OnConflict, ways))
        }));
        trials
    }

    /// Of each column alone, so that a trigger of that column or of that change runs, and of all that may be changed.
    fn updates(&self, user: &User) -> Vec<Trial> {
        let Some(row) = self.rows.first().and_then(|row| self.table.identity(row)) else { return Vec::new() };
        let update = |set: List<Statement>| {
            vec![Action::Run(render(
                "UPDATE {table} SET {set} WHERE {row}",
                &[("table", &self.table.name), ("set", &set), ("row", &row)],
            ))]
        };
        let all = [true, false].map(|is_changed| self.table.updated(is_changed));
        let ways = all.into_iter().flatten().map(update).collect();
        let mut trials = vec![self.trial(user, "UPDATE of", Kind::Other, ways)];
        for column in self.table.columns.iter().filter(|column| !column.is_always) {
            let ways = [true, false].map(|is_changed| update(List(vec![column.updated(is_changed)])));
            let what = format!("UPDATE of {} in", column.name.as_str());
            trials.push(self.trial(user, &what, Kind::Other, ways.into()));
        }
        trials
    }

    fn deletes(&self, user: &User) -> Vec<Vec<Action>> {
        let mut ways: Vec<Vec<Action>> =
            self.rows.iter().filter_map(|row| self.delete(row)).map(|delete| vec![delete]).collect();
        // Where something refers to all of them: one that was just made.
        if user.inserts {
            let primary = self.table.columns.iter().filter(|column| column.is_primary);
            let key: Vec<Ident> = primary.map(|column| column.name.clone()).collect();
            ways.extend(
                self.new.iter().filter_map(|row| {
                    Some(vec![Action::Run(self.table.insert(row, &key)), self.delete(row)?])
                }),
            );
        }
        ways
    }

    fn delete(&self, row: &Row) -> Option<Action> {
        let row = self.table.identity(row)?;
        Some(Action::Run(render(
            "DELETE FROM {table} WHERE {row}",
            &[("table", &self.table.name), ("row", &row)],
        )))
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

    /// A row that is there once more, by this key, which does nothing or updates it; none for a key that ON CONFLICT
    /// can't name.
    fn on_conflict(&self, key: &UniqueKey) -> Option<(String, Vec<Vec<Action>>)> {
        if !key.valid || key.constraint.is_some_and(|timing| timing != Timing::Immediate) {
            return None;
        }
        let columns: Vec<Ident> =
            key.columns.iter().flatten().filter_map(|name| Ident::new(name.clone()).ok()).collect();
        let row = self.table.like(self.new.first()?, self.rows.first()?, &columns);
        let insert = self.table.insert(&row, &columns);
        let filter = match &key.predicate {
            Some(predicate) => render(" WHERE {predicate}", &[("predicate", predicate)]),
            None => render("", &[]),
        };
        let parts = List(key.parts.clone());
        let target = render(
            "{insert} ON CONFLICT ({parts}){filter}",
            &[("insert", &insert), ("parts", &parts), ("filter", &filter)],
        );
        let names: Vec<String> = key.parts.iter().map(ToString::to_string).collect();
        let nothing = render("{target} DO NOTHING", &[("target", &target)]);
        Some((names.join(", "), vec![vec![Action::Run(nothing)]]))
    }
}
