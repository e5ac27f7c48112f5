//! The check of SQL that a person wrote into the mapping.
//!
//! PostgreSQL itself parses it, against an empty temporary table of the ledger's shape: first as a view, which is
//! only parsed and never planned, so that nothing of it runs before what it uses is known; then as an index's
//! expression, which may read the row alone and must always give the same result. All of it is rolled back, and what
//! is used from then on is not the person's text but what PostgreSQL prints of its own parse tree, so that nothing
//! can break out of where it is put.

use sqlx::{Connection as _, PgConnection};

use crate::{
    Error,
    db::{Context as _, DbError, sqlstate},
    sql::{Definition, Ident, List, Literal, QualifiedName, Statement, Unparsed, render},
};

/// An expression that PostgreSQL has parsed.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    /// What PostgreSQL prints of it, every name that is not built in with its schema.
    pub(crate) sql: Statement,
    /// What PostgreSQL prints of an index's column that is made of that: it need not print the same again.
    pub(crate) printed: String,
    /// What it prints of an index's predicate that is made of that, where it can be one.
    pub(crate) predicate: Option<String>,
    /// Its type.
    pub(crate) type_name: String,
    /// The type below its domains.
    pub(crate) base_type: String,
    /// Whether equal values have one text.
    pub(crate) has_one_text: bool,
    /// The same as `sql` where other tables stand beside the row, which is called `b` there.
    pub(crate) of_b: Statement,
    /// The columns of the row that it uses.
    pub(crate) columns: Vec<String>,
}

/// `template` over attributes with their types.
pub(super) fn of_types(template: &'static str) -> Statement {
    render(template, &[("types", &render(include_str!("types.sql"), &[]))])
}

/// Parses `sql` as an expression over a row of `table`; names in it are looked for in `schemas`. The inner error says
/// why it can't be one.
///
/// # Errors
/// Database errors that are not the expression's.
pub(super) async fn parse(
    connection: &mut PgConnection,
    table: &QualifiedName,
    schemas: &[Ident],
    sql: &str,
) -> Result<Result<Parsed, String>, Error> {
    let mut transaction = connection.begin().await?;
    let parsed = parse_in(&mut transaction, table, schemas, sql).await;
    transaction.rollback().await?;
    parsed
}

async fn parse_in(
    connection: &mut PgConnection,
    table: &QualifiedName,
    schemas: &[Ident],
    sql: &str,
) -> Result<Result<Parsed, String>, Error> {
    if let Err(reason) = prepare(connection, table, schemas).await? {
        return Ok(Err(reason));
    }
    // One statement each by the extended protocol, which refuses a second one behind a semicolon.
    let expression = Unparsed(sql);
    // Without parentheses of ours around it, for which its own could be mistaken.
    let bare = render(
        "CREATE TEMPORARY VIEW stockfoil_bare (value) AS SELECT\n{expression}\nFROM pg_temp.stockfoil_row",
        &[("expression", &expression)],
    );
    if let Err(reason) = try_out(connection, &bare).await? {
        return Ok(Err(reason));
    }
    let view = render(
        "CREATE TEMPORARY VIEW stockfoil_value AS SELECT (\n{expression}\n) AS value FROM pg_temp.stockfoil_row",
        &[("expression", &expression)],
    );
    if let Err(reason) = try_out(connection, &view).await? {
        return Ok(Err(reason));
    }
    let uses: Vec<String> = sqlx::query_scalar(include_str!("uses.sql"))
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .context("look what the mapping's SQL uses")?;
    if !uses.is_empty() {
        return Ok(Err(format!(
            "it uses {}; an expression may use the entry's own columns and built-in functions alone",
            uses.join(", ")
        )));
    }
    let index = render(
        "CREATE INDEX stockfoil_value_idx ON pg_temp.stockfoil_row ((\n{expression}\n))",
        &[("expression", &expression)],
    );
    if let Err(reason) = try_out(connection, &index).await? {
        return Ok(Err(reason));
    }
    sqlx::query("SELECT set_config('search_path', 'pg_catalog', true)")
        .persistent(false)
        .execute(&mut *connection)
        .await
        .context("set the search path")?;
    let printed = of_types(include_str!("printed.sql"));
    let printed: Option<(String, String, String, bool)> = sqlx::query_as(printed.sql())
        .persistent(false)
        .fetch_optional(&mut *connection)
        .await
        .context("read the mapping's SQL back")?;
    let Some((text, type_name, base_type, has_one_text)) = printed else {
        return Ok(Err("it is not one expression; check its parentheses".into()));
    };
    let sql = render("{text}", &[("text", &Definition::from_catalog(text))]);
    let (printed, predicate) = print_again(connection, &sql, base_type == "boolean").await?;
    let (of_b, columns) = beside_others(connection, &sql).await?;
    Ok(Ok(Parsed { sql, printed, predicate, type_name, base_type, has_one_text, of_b, columns }))
}

/// What PostgreSQL prints of `sql` where the row is called `b` and is not alone, and the columns that it uses.
async fn beside_others(
    connection: &mut PgConnection,
    sql: &Statement,
) -> Result<(Statement, Vec<String>), DbError> {
    const CONTEXT: &str = "read the mapping's SQL back";
    let view = render(
        "CREATE TEMPORARY VIEW stockfoil_beside (stockfoil_beside) AS
         SELECT {sql} AS stockfoil_beside FROM pg_temp.stockfoil_row AS b CROSS JOIN (SELECT 1) AS stockfoil_one (stockfoil_one)",
        &[("sql", sql)],
    );
    sqlx::query(view.sql()).persistent(false).execute(&mut *connection).await.context(CONTEXT)?;
    let (text, columns): (String, Vec<String>) = sqlx::query_as(include_str!("beside.sql"))
        .persistent(false)
        .fetch_one(connection)
        .await
        .context(CONTEXT)?;
    let text = text.trim().strip_prefix("SELECT ").unwrap_or_default();
    let text = text.rsplit_once(" AS stockfoil_beside").map_or(text, |(expression, _)| expression);
    Ok((render("{text}", &[("text", &Definition::from_catalog(text.to_owned()))]), columns))
}

/// Makes the session's row of the ledger, which expressions are tried out on, with the names that these may use.
async fn prepare(
    connection: &mut PgConnection,
    table: &QualifiedName,
    schemas: &[Ident],
) -> Result<Result<(), String>, Error> {
    let path = Literal::new(&List(schemas.to_vec()).to_string());
    let set_path = render("SELECT set_config('search_path', {path}, true)", &[("path", &path)]);
    sqlx::query(set_path.sql())
        .persistent(false)
        .execute(&mut *connection)
        .await
        .context("set the search path")?;
    let row = render(
        "CREATE TEMPORARY TABLE stockfoil_row (LIKE {table} INCLUDING GENERATED)",
        &[("table", table)],
    );
    match sqlx::query(row.sql()).persistent(false).execute(&mut *connection).await {
        Err(error) if sqlstate(&error).as_deref() == Some("42501") => {
            return Ok(Err(
                "SQL in the mapping is checked in a temporary table, which this role may not create; GRANT TEMPORARY ON DATABASE to it"
                    .into(),
            ));
        }
        row => row.context("prepare the check of the mapping's SQL")?,
    };
    Ok(Ok(()))
}

/// What PostgreSQL prints of an index's column that is made of what it printed, and of a predicate.
async fn print_again(
    connection: &mut PgConnection,
    sql: &Statement,
    is_condition: bool,
) -> Result<(String, Option<String>), DbError> {
    const CONTEXT: &str = "read the mapping's SQL back";
    let only = render(if is_condition { " WHERE {sql}" } else { "" }, &[("sql", sql)]);
    let index = render(
        "CREATE INDEX stockfoil_again_idx ON pg_temp.stockfoil_row (({sql})){only}",
        &[("sql", sql), ("only", &only)],
    );
    sqlx::query(index.sql()).persistent(false).execute(&mut *connection).await.context(CONTEXT)?;
    sqlx::query_as(
        "SELECT pg_get_indexdef(indexrelid, 1, false), pg_get_expr(indpred, indrelid)
         FROM pg_index WHERE indexrelid = to_regclass('pg_temp.stockfoil_again_idx')",
    )
    .persistent(false)
    .fetch_one(connection)
    .await
    .context(CONTEXT)
}

/// Runs a statement that holds the expression; the inner error is what the server says of it.
async fn try_out(
    connection: &mut PgConnection,
    statement: &Statement,
) -> Result<Result<(), String>, DbError> {
    let error = match sqlx::query(statement.sql()).persistent(false).execute(connection).await {
        Ok(_) => return Ok(Ok(())),
        Err(error) => error,
    };
    let Some(refusal) = error.as_database_error() else { return Err(error.into()) };
    Ok(Err(match refusal.code().as_deref() {
        Some("42P17") => {
            "the same entry must always give the same result, and a function in it depends on settings, time or chance (it is not IMMUTABLE)".into()
        }
        Some("0A000" | "42803" | "42P20") => format!(
            "{}; an expression may only compute from the entry's own columns",
            refusal.message()
        ),
        Some("42601") => format!("{}; it must be one SQL expression over a row of the ledger", refusal.message()),
        _ => format!("{}; correct the expression", refusal.message()),
    }))
}
