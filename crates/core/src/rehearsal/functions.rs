//! Functions and procedures whose text names a tenant table: made again, so that the server compiles them, checked by
//! `plpgsql_check` where that is installed, else planned statement by statement, and called with values that fit.

mod bodies;

use std::collections::BTreeSet;

use sqlx::PgConnection;

use bodies::Body;
pub(super) use bodies::PLANNED;

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
    /// Its body.
    source: String,
    /// How `definition` begins, up to its parameters.
    begin: String,
    /// What calls one of its parameters by another name with NULL for each.
    plan: String,
    /// Of a trigger's: the tables that have one.
    fired_by: Vec<String>,
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
    let lower: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
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
        if function.is_plpgsql && (checker.is_none() || function.call.is_none()) {
            trials.extend(statements(&function, &lower).unwrap_or_else(|| {
                not_probed.push(format!("planning function {}: its body was not found", function.signature));
                Vec::new()
            }));
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

/// What the server declares in a function that a trigger of `table` calls.
fn trigger_variables(table: &str) -> String {
    format!(
        "new {table}%ROWTYPE; old {table}%ROWTYPE; tg_name name; tg_when text; tg_level text; tg_op text; tg_relid oid;
         tg_relname name; tg_table_name name; tg_table_schema name; tg_nargs int; tg_argv text[];"
    )
}

/// The trials that plan each statement of a function in PL/pgSQL that names one of `names`; of a trigger's for each table that
/// has it. None where its definition is not in the parts that it should be in.
fn statements(function: &Function, names: &BTreeSet<String>) -> Option<Vec<Trial>> {
    let Function { definition, source, begin, plan, .. } = function;
    let rest = definition.strip_prefix(begin.as_str())?;
    let at = rest.rfind(source.as_str())?;
    let (head, tail) = (&rest[..at], &rest[at + source.len()..]);
    let body = Body::read(source)?;
    let is_fired = !function.fired_by.is_empty();
    // Called with NULL it has to run all the same.
    let head = head.replace(" STRICT\n", "\n").replace(" STRICT ", " ");
    let (head, befores) = if is_fired {
        (head.replacen("RETURNS trigger", "RETURNS void", 1), function.fired_by.clone())
    } else {
        (head, vec![String::new()])
    };
    let what = if begin.contains(" PROCEDURE ") { "PROCEDURE" } else { "FUNCTION" };
    let text = |text: String| render("{text}", &[("text", &Definition::from_catalog(text))]);
    let mut trials = Vec::new();
    for table in befores {
        let (before, of) = match table.as_str() {
            "" => (String::new(), String::new()),
            table => (trigger_variables(table), format!(" for {table}")),
        };
        for found in body.statements(names) {
            let made = body.with(&before, &found.plan);
            trials.push(Trial {
                what: format!("planning line {} of function {}{of}", found.line, function.signature),
                kind: Kind::Other,
                role: None,
                ways: vec![vec![Action::Plan {
                    make: text(format!("CREATE {what} {}({head}{made}{tail}", bodies::NAME)),
                    call: text(plan.clone()),
                    statement: text(found.text),
                }]],
            });
        }
    }
    Some(trials)
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
