//! The rows of a file in tables of the session's own, where they are looked at before any goes where it belongs.

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use super::{
    super::{super::TenancyError, LifeError, archive::Digest, reading::Archive, whole::Table},
    fit::{Arrival, Way},
};
use crate::{
    Error,
    db::{Context as _, DbError},
    model::Model,
    org_id::OrgId,
    progress::Progress,
    sql::{Definition, Fragment, Ident, List, QualifiedName, Statement, render},
};

/// So many rows, or bytes, go to the server at once.
const ROWS_MAX: usize = 2000;
const BYTES_MAX: usize = 1 << 20;

impl Arrival {
    /// `template` about the rows put aside, `{staging}` `s`, and what [`Table::render`] knows.
    pub(super) fn render(
        &self,
        model: &Model,
        template: &'static str,
        more: &[(&str, &dyn Fragment)],
    ) -> Statement {
        let names = self.names();
        let mut fragments: Vec<(&str, &dyn Fragment)> = vec![("staging", &self.staging), ("names", &names)];
        fragments.extend_from_slice(more);
        self.table.render(model, template, &fragments)
    }

    /// The columns' names.
    pub(super) fn names(&self) -> List<Ident> {
        List(self.table.columns.iter().map(|(name, _)| name.clone()).collect())
    }

    /// The rows put aside, as if they were the table's.
    fn as_table(&self) -> Table {
        Table { name: self.staging.clone(), org: None, ..self.table.clone() }
    }
}

/// Puts all rows of the file aside, and checks that they are still what they were when they were written.
pub(super) async fn load(
    session: &mut PgConnection,
    model: &Model,
    archive: &Archive,
    arrivals: &[Arrival],
    progress: &dyn Progress,
) -> Result<(), Error> {
    for arrival in arrivals.iter().filter(|arrival| arrival.way != Way::Ignore) {
        let create = arrival.render(
            model,
            "CREATE TEMPORARY TABLE {staging} AS SELECT {names} FROM {table} WHERE false",
            &[],
        );
        run(session, &create, "make room for the rows").await?;
    }
    let total = archive.totals.iter().map(|total| total.rows).sum();
    progress.begin("read the file", Some(total));
    let mut lines = archive.lines().map_err(TenancyError::from)?;
    let (mut batch, mut bytes, mut of, mut row) = (Vec::new(), 0, None, String::new());
    loop {
        let next = lines.next_row(&archive.header, &mut row).map_err(TenancyError::from)?;
        if next != of || batch.len() >= ROWS_MAX || bytes >= BYTES_MAX {
            if let Some(arrival) = arrivals.iter().find(|arrival| Some(arrival.place) == of) {
                put(session, model, arrival, &batch).await?;
            }
            progress.advance(batch.len() as u64);
            batch.clear();
            (bytes, of) = (0, next);
        }
        if next.is_none() {
            break;
        }
        bytes += row.len();
        batch.push(std::mem::take(&mut row));
    }
    progress.finish();
    for arrival in arrivals.iter().filter(|arrival| arrival.way != Way::Ignore) {
        let statement = arrival.render(model, "ANALYZE {staging}", &[]);
        run(session, &statement, "look at the rows").await?;
        let read = staged(session, model, arrival).await?;
        if read.text() != archive.totals[arrival.place].digest {
            let reason = "what is read of it is written otherwise".to_owned();
            let table = arrival.table.name.plain();
            return Err(TenancyError::from(LifeError::Value { table, reason }).into());
        }
    }
    Ok(())
}

async fn put(
    session: &mut PgConnection,
    model: &Model,
    arrival: &Arrival,
    rows: &[String],
) -> Result<(), Error> {
    if rows.is_empty() || arrival.way == Way::Ignore {
        return Ok(());
    }
    let values = arrival.table.columns.iter().enumerate().map(|(at, (_, type_name))| {
        render("(line.row ->> {at})::{type}", &[("at", &Definition::number(at)), ("type", type_name)])
    });
    let values = List(values.collect());
    let statement = arrival.render(
        model,
        "INSERT INTO {staging} ({names}) SELECT {texts} FROM (SELECT row::jsonb FROM unnest($1::text[]) AS row) AS line",
        &[("texts", &values)],
    );
    let put = sqlx::query(statement.sql()).persistent(false).bind(rows).execute(session).await;
    put.map_err(|error| match crate::db::sqlstate(&error) {
        // Data exceptions and broken checks of domains.
        Some(code) if code.starts_with("22") || code.starts_with("23") => {
            let (table, reason) = (arrival.table.name.plain(), DbError::Query(error).to_string());
            TenancyError::from(LifeError::Value { table, reason }).into()
        }
        _ => Error::from(DbError::Query(error)),
    })?;
    Ok(())
}

/// Makes the rows put aside those of organization `org`.
pub(super) async fn rename(
    session: &mut PgConnection,
    model: &Model,
    arrivals: &[Arrival],
    org: &OrgId,
) -> Result<(), Error> {
    for arrival in arrivals.iter().filter(|arrival| arrival.way != Way::Ignore) {
        let Some(column) = &arrival.table.org else { continue };
        let statement = arrival.render(
            model,
            "UPDATE {staging} SET {column} = $1::text::{org.type}",
            &[("column", column)],
        );
        sqlx::query(statement.sql())
            .persistent(false)
            .bind(org)
            .execute(&mut *session)
            .await
            .context("rename the organization")?;
    }
    Ok(())
}

/// The digest of the rows put aside.
pub(super) async fn staged(
    session: &mut PgConnection,
    model: &Model,
    arrival: &Arrival,
) -> Result<Digest, Error> {
    let statement = arrival.as_table().render(model, "SELECT {values} FROM {table} AS t", &[]);
    digest(session, &statement, None, &arrival.staging).await
}

/// The digest of the organization's rows where they belong.
pub(super) async fn arrived(
    session: &mut PgConnection,
    model: &Model,
    arrival: &Arrival,
    org: &OrgId,
) -> Result<Digest, Error> {
    let statement = arrival.table.render(model, "SELECT {values} FROM {table} AS t WHERE {is_own}", &[]);
    digest(session, &statement, Some(org), &arrival.table.name).await
}

async fn digest(
    session: &mut PgConnection,
    statement: &Statement,
    org: Option<&OrgId>,
    table: &QualifiedName,
) -> Result<Digest, Error> {
    let query = sqlx::query_scalar::<_, String>(statement.sql()).persistent(false);
    let mut rows = match org {
        Some(org) => query.bind(org).fetch(session),
        None => query.fetch(session),
    };
    let mut digest = Digest::default();
    while let Some(row) = rows.try_next().await.context(format!("read the rows of {}", table.plain()))? {
        digest.add(&row);
    }
    Ok(digest)
}

/// Runs a statement without parameters.
pub(super) async fn run(session: &mut PgConnection, statement: &Statement, what: &str) -> Result<u64, Error> {
    let done = sqlx::query(statement.sql()).persistent(false).execute(session).await.context(what)?;
    Ok(done.rows_affected())
}
