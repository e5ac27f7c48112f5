//! Functions and procedures whose text names a tenant table: made again, so that the server compiles them, checked by
//! `plpgsql_check` where that is installed, and called with values that fit.

use sqlx::PgConnection;

use super::action::{Action, Kind, Trial};
use crate::{
    Error,
    db::Context as _,
    model::Model,
    sql::{Definition, Ident, QualifiedName, Statement, render},
};

/// A function as the catalog has it.
#[derive(sqlx::FromRow)]
struct Function {
    /// Its name with its types, as messages name it.
    signature: String,
    owner: String,
    /// What makes it.
    definition: String,
    /// What calls it with values that fit its parameters; none for one that is not called so, such as a trigger's.
    call: Option<String>,
    /// The same with NULL for every parameter.
    call_with_nulls: Option<String>,
    oid: i64,
    /// Whether it gives one value.
    is_scalar: bool,
    /// Whether it is written in PL/pgSQL.
    is_plpgsql: bool,
}

/// The trials of every function that names a tenant table, each as its owner.
pub(super) async fn trials(
    session: &mut PgConnection,
    model: &Model,
    not_probed: &mut Vec<String>,
) -> Result<Vec<Trial>, Error> {
    let mut names: Vec<String> =
        model.tenant_tables.iter().map(|table| table.name.as_str().to_owned()).collect();
    let tables: Vec<String> = model.tenant_tables.iter().map(ToString::to_string).collect();
    // One that names a view over a tenant table may read and write that table by it.
    let views: Vec<(String, String, String, bool, bool)> = sqlx::query_as(include_str!("views/views.sql"))
        .bind(&tables)
        .fetch_all(&mut *session)
        .await
        .context("list the views for the rehearsal")?;
    names.extend(views.into_iter().map(|(_, name, ..)| name));
    let functions: Vec<Function> = sqlx::query_as(include_str!("functions/functions.sql"))
        .bind(&names)
        .bind(&tables)
        .fetch_all(&mut *session)
        .await
        .context("list the functions for the rehearsal")?;
    let checker = checker(session).await?;
    let mut trials = Vec::new();
    for function in functions {
        let owner = Ident::new(function.owner.clone())?;
        let statement = |text: String| render("{text}", &[("text", &Definition::from_catalog(text))]);
        let trial = |what: &str, ways: Vec<Vec<Action>>| Trial {
            what: format!("{what} {}", function.signature),
            kind: Kind::Other,
            role: Some(owner.clone()),
            ways,
        };
        trials.push(Trial {
            role: None,
            ..trial("compiling function", vec![vec![Action::Run(statement(function.definition.clone()))]])
        });
        if let Some(checker) = checker.as_ref().filter(|_| function.is_plpgsql && function.call.is_some()) {
            let check = check(checker, function.oid);
            trials.push(Trial { role: None, ..trial("checking function", vec![vec![Action::Run(check)]]) });
        }
        let calls: Vec<Vec<Action>> = [function.call.clone(), function.call_with_nulls.clone()]
            .into_iter()
            .flatten()
            .map(statement)
            .map(|call| vec![if function.is_scalar { Action::Ask(call) } else { Action::Run(call) }])
            .collect();
        if calls.is_empty() {
            not_probed.push(format!(
                "calling function {}: it is a trigger's, or has parameters that no value is known for",
                function.signature
            ));
        } else {
            trials.push(trial("calling function", calls));
        }
    }
    Ok(trials)
}

/// The function of `plpgsql_check`, where that is installed.
async fn checker(session: &mut PgConnection) -> Result<Option<QualifiedName>, Error> {
    let schema: Option<String> = sqlx::query_scalar(
        "SELECT n.nspname::text FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'plpgsql_check'",
    )
    .fetch_optional(session)
    .await
    .context("look for plpgsql_check")?;
    let name = |schema: String| {
        Ok::<_, Error>(QualifiedName::new(Ident::new(schema)?, Ident::fixed("plpgsql_check_function_tb")))
    };
    schema.map(name).transpose()
}

/// Fails with the checker's words where it finds an error in a function.
fn check(checker: &QualifiedName, oid: i64) -> Statement {
    let oid = Definition::number(usize::try_from(oid).unwrap_or(0));
    render(
        "DO $stockfoil_check$ DECLARE
             found text := (SELECT string_agg(format('%s at line %s%s', c.message, c.lineno, coalesce(' (' || c.detail || ')', '')), '; ')
                            FROM {checker}({oid}::oid) AS c WHERE c.level = 'error');
         BEGIN IF found IS NOT NULL THEN RAISE EXCEPTION '%', found; END IF; END $stockfoil_check$",
        &[("checker", checker), ("oid", &oid)],
    )
}
