//! What an insert gets that names no organization, once the database is expanded: `stockfoil.default_org`, which
//! counts how often it is still relied on, and `--finalize`, which ends that.

use sqlx::PgConnection;

use super::{
    change::{self, Kind},
    report::DefaultUse,
    step::{Goal, Lock, Step},
};
use crate::{
    catalog,
    db::{Context as _, DbError},
    model::Model,
    org_id::OrgId,
    sql::{Ident, Literal, QualifiedName, Statement, render},
};

/// The tenant tables but for those whose inserts must name an organization already: `--finalize` ended their default, and
/// what counts it would be made for nothing.
pub(super) async fn relying(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<QualifiedName>, crate::Error> {
    let mut relying = Vec::new();
    for table in &model.tenant_tables {
        let column = catalog::column(session, table, &model.org_column).await?;
        let is_ended = column.is_some_and(|column| {
            let default = column.default.as_deref();
            column.not_null && default.is_none_or(|default| default.contains("current_setting('app.org_id'"))
        });
        if !is_ended {
            relying.push(table.clone());
        }
    }
    Ok(relying)
}

/// The steps that give each of `tables`, if any, the counting default in place of the constant one.
pub(super) fn steps(
    command: &'static str,
    model: &Model,
    tables: &[QualifiedName],
    default: &OrgId,
) -> Vec<Step> {
    if tables.is_empty() {
        return Vec::new();
    }
    let kind = model.org_type.name();
    let function =
        model.routine(include_str!("default_org.sql"), &[("default", &Literal::new(default.as_str()))]);
    let mut steps = vec![
        Step::short(
            "create function stockfoil.default_org".into(),
            Lock::None,
            vec![],
            vec![function.create],
            Goal::new(include_str!("goals/default_org.sql"), [function.body, kind.to_owned()]),
        )
        // Who may insert may have the default: default privileges may have taken functions from everybody.
        .granting(render("GRANT EXECUTE ON FUNCTION stockfoil.default_org(text) TO PUBLIC", &[])),
    ];
    for table in tables {
        let sequence = sequence(table);
        steps.push(Step::short(
            format!("create the sequence that counts inserts into {} without an organization", table.plain()),
            Lock::None,
            vec![],
            vec![render("CREATE SEQUENCE {sequence}", &[("sequence", &sequence)])],
            Goal::new("SELECT to_regclass($1) IS NOT NULL", [sequence.to_string()]),
        ));
        let settle = settle(model, table);
        let goal = Goal::new(
            include_str!("goals/settled_default.sql"),
            [table.to_string(), model.org_column.as_str().into(), default.to_string(), kind.to_owned()],
        );
        steps.push(
            Step::short(
                format!("count inserts into {} without an organization", table.plain()),
                Lock::AccessExclusive,
                vec![table.clone()],
                vec![settle],
                goal,
            )
            .remembering(change::note(command, Kind::Column, table, model.org_column.as_str())),
        );
    }
    steps
}

/// The statement that gives `table` the counting default.
pub(super) fn settle(model: &Model, table: &QualifiedName) -> Statement {
    render(
        "ALTER TABLE {table} ALTER COLUMN {org} SET DEFAULT stockfoil.default_org({counted})",
        &[("table", table), ("org", &model.org_column), ("counted", &Literal::new(&counted(table)))],
    )
}

/// Whether what gives the default organization and counts inserts into `table` is there: it was not ended for good.
///
/// # Errors
/// Database errors.
pub(super) async fn is_there(session: &mut PgConnection, table: &QualifiedName) -> Result<bool, DbError> {
    sqlx::query_scalar(
        "SELECT to_regprocedure('stockfoil.default_org(text)') IS NOT NULL AND to_regclass($1) IS NOT NULL",
    )
    .bind(sequence(table).to_string())
    .fetch_one(session)
    .await
    .context("look for what gives the default organization")
}

/// The steps that end the default: an insert that names no organization then fails.
pub(super) fn finalize(model: &Model, uses: &[(QualifiedName, DefaultUse)]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (table, _) in uses {
        let drop = render(
            "ALTER TABLE {table} ALTER COLUMN {org} DROP DEFAULT",
            &[("table", table), ("org", &model.org_column)],
        );
        steps.push(Step::short(
            format!("end the default organization of {}", table.plain()),
            Lock::AccessExclusive,
            vec![table.clone()],
            vec![drop],
            Goal::new(
                include_str!("goals/no_default.sql"),
                [table.to_string(), model.org_column.as_str().into()],
            ),
        ));
    }
    steps.extend(removal(&model.tenant_tables));
    steps
}

/// The steps that remove the function and its sequences; no column uses them any more.
pub(super) fn removal(tables: &[QualifiedName]) -> Vec<Step> {
    let mut steps = vec![Step::short(
        "drop function stockfoil.default_org".into(),
        Lock::None,
        vec![],
        vec![render("DROP FUNCTION IF EXISTS stockfoil.default_org(text)", &[])],
        Goal::new("SELECT to_regprocedure('stockfoil.default_org(text)') IS NULL", []),
    )];
    steps.extend(tables.iter().map(|table| {
        let sequence = sequence(table);
        Step::short(
            format!("drop the sequence that counted inserts into {}", table.plain()),
            Lock::None,
            vec![],
            vec![render("DROP SEQUENCE IF EXISTS {sequence}", &[("sequence", &sequence)])],
            Goal::gone(&sequence),
        )
    }));
    steps
}

/// How often each of `tables` whose default is the counting one was relied on.
///
/// # Errors
/// Database errors.
pub(super) async fn uses(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<(QualifiedName, DefaultUse)>, crate::Error> {
    let mut uses = Vec::new();
    for table in &model.tenant_tables {
        let column = catalog::column(session, table, &model.org_column).await?;
        let default = column.and_then(|column| column.default);
        if !default.is_some_and(|default| default.contains("stockfoil.default_org(")) {
            continue;
        }
        let inserts = inserts(session, &sequence(table)).await?;
        let since: Option<chrono::DateTime<chrono::Utc>> = sqlx::query_scalar(
            "SELECT changed_at FROM stockfoil.change WHERE kind = 'column' AND schema_name = $1 AND table_name = $2 AND name = $3",
        )
        .bind(table.schema.as_str())
        .bind(table.name.as_str())
        .bind(model.org_column.as_str())
        .fetch_optional(&mut *session)
        .await
        .context("read since when inserts are counted")?;
        uses.push((table.clone(), DefaultUse { table: table.plain(), inserts, since }));
    }
    Ok(uses)
}

async fn inserts(session: &mut PgConnection, sequence: &QualifiedName) -> Result<i64, DbError> {
    let statement: Statement = render(
        "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}",
        &[("sequence", sequence)],
    );
    sqlx::query_scalar(statement.sql())
        .fetch_one(session)
        .await
        .context("read how many inserts named no organization")
}

/// The sequence that counts for `table`.
fn sequence(table: &QualifiedName) -> QualifiedName {
    QualifiedName::new(Ident::fixed("stockfoil"), Ident::joined(&[PREFIX, &table.plain()]))
}

/// What the function is told of `table`: the sequence's name behind its prefix, which a shortened name keeps.
fn counted(table: &QualifiedName) -> String {
    let name = sequence(table).name;
    name.as_str().strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('_')).unwrap_or_default().to_owned()
}

const PREFIX: &str = "default_org";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_finds_the_sequence_of_a_long_name_too() {
        for name in ["users".to_owned(), "x".repeat(63)] {
            let table = QualifiedName::new(Ident::fixed("public"), Ident::new(name).unwrap());
            assert_eq!(format!("{PREFIX}_{}", counted(&table)), sequence(&table).name.as_str());
        }
    }
}
