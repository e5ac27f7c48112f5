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
    db::{Context as _, DbError, sqlstate},
    example::{New, Table},
    model::Model,
    sql::{Definition, Ident, Literal, QualifiedName, Statement, render},
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
    /// The same with other values: earlier, later, an object, objects, and the name of a table with earlier and later times.
    further_calls: Vec<Option<String>>,
    /// Whether its text names a tenant table, or a trigger of one calls it.
    is_near: bool,
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
    let views: Vec<(String, String)> = sqlx::query_as(include_str!("views/views.sql"))
        .bind(&tables)
        .fetch_all(&mut *session)
        .await
        .context("list the views for the rehearsal")?;
    names.extend(views.into_iter().map(|(_, name)| name));
    let functions: Vec<Function> = sqlx::query_as(include_str!("functions/functions.sql"))
        .bind(&names)
        .bind(&tables)
        .fetch_all(&mut *session)
        .await
        .context("list the functions for the rehearsal")?;
    let checker = checker(session).await?;
    let lower: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let mut rows = Vec::new();
    for table in &model.tenant_tables {
        rows.push((table.name.as_str().to_lowercase(), object(session, table, model).await?));
    }
    let mut trials = Vec::new();
    for function in functions {
        if function.is_near {
            trials.extend(near(session, &function, checker.as_ref(), &lower, not_probed).await?);
        }
        trials.extend(further(&function, &rows)?);
    }
    Ok(trials)
}

/// The trials of one whose text names a tenant table.
async fn near(
    session: &mut PgConnection,
    function: &Function,
    checker: Option<&QualifiedName>,
    names: &BTreeSet<String>,
    not_probed: &mut Vec<String>,
) -> Result<Vec<Trial>, Error> {
    let mut trials = vec![Trial {
        role: None,
        ..function.trial("compiling function", vec![vec![Action::Run(text(function.definition.clone()))]])?
    }];
    // A whole row that a trigger writes elsewhere is no error to the checker.
    let is_trigger = !function.fired_by.is_empty();
    let check = match checker {
        Some(checker) if function.is_plpgsql && !is_trigger => check(session, checker, function).await?,
        _ => None,
    };
    match check {
        Some(check) => {
            let checks = function.trial("checking function", vec![vec![Action::Run(check)]])?;
            trials.push(Trial { role: None, ..checks });
        }
        None if function.is_plpgsql => {
            trials.extend(statements(function, names).unwrap_or_else(|| {
                not_probed.push(format!("planning function {}: its body was not found", function.signature));
                Vec::new()
            }));
        }
        None => {}
    }
    let calls: Vec<Vec<Action>> = [&function.call, &function.call_with_nulls]
        .into_iter()
        .flatten()
        .map(|call| function.calling(call.clone()))
        .collect();
    if calls.is_empty() {
        not_probed.push(format!(
            "calling function {}: it is a trigger's, or has parameters that no value is known for",
            function.signature
        ));
    } else {
        trials.push(function.trial("calling function", calls)?);
    }
    Ok(trials)
}

/// So many tables are named to a function that makes its statements itself.
const NAMED_MAX: usize = 20;

/// The calls with other values, each a trial of its own: what only some values lead to. `rows` are the tenant tables' names and a
/// new row of each as an object.
fn further(function: &Function, rows: &[(String, Option<String>)]) -> Result<Vec<Trial>, Error> {
    let mut calls = Vec::new();
    let definition = function.definition.to_lowercase();
    let executes = definition.contains("execute");
    let named = rows.iter().filter(|(name, _)| definition.contains(name.as_str()));
    for (place, call) in function.further_calls.iter().enumerate() {
        let Some(call) = call.as_ref().filter(|call| function.call.as_ref() != Some(*call)) else { continue };
        match place {
            0 | 1 if function.is_near => calls.push(call.clone()),
            2 | 3 if function.is_near => {
                for object in named.clone().filter_map(|(_, object)| object.as_ref()) {
                    let objects = format!("[{object}]");
                    let (marker, value) = if place == 2 { (OBJECT, object) } else { (OBJECTS, &objects) };
                    calls.push(call.replace(marker, &Literal::new(value).to_string()));
                }
            }
            _ if executes => calls.extend(
                rows.iter()
                    .take(NAMED_MAX)
                    .map(|(name, _)| call.replace(NAME, &Literal::new(name).to_string())),
            ),
            _ => {}
        }
    }
    calls.sort();
    calls.dedup();
    let trial = |call| {
        let trial = function.trial("calling function", vec![function.calling(call)])?;
        Ok(Trial { kind: Kind::Further, ..trial })
    };
    calls.into_iter().map(trial).collect()
}

/// What stands for values in the calls with other values.
const OBJECT: &str = "'stockfoil object'";
const OBJECTS: &str = "'stockfoil objects'";
const NAME: &str = "'stockfoil name'";

/// A new row of `table` as a JSON object; none where it has no rows to make another one like.
pub(super) async fn object(
    session: &mut PgConnection,
    table: &QualifiedName,
    model: &Model,
) -> Result<Option<String>, Error> {
    let table = Table::read(session, table, &model.org_column).await?;
    let what = || format!("read a row of {}", table.name.plain());
    let rows = table.rows(session, Some(New::Behind), 1).await.context(what())?;
    Ok(rows.first().map(|row| table.object(row)))
}

impl Function {
    fn trial(&self, what: &str, ways: Vec<Vec<Action>>) -> Result<Trial, Error> {
        Ok(Trial {
            what: format!("{what} {}", self.signature),
            kind: Kind::Other,
            role: Some(Ident::new(self.owner.clone())?),
            ways,
        })
    }

    fn calling(&self, call: String) -> Vec<Action> {
        vec![if self.is_scalar { Action::Ask(text(call)) } else { Action::Run(text(call)) }]
    }
}

fn text(text: String) -> Statement {
    render("{text}", &[("text", &Definition::from_catalog(text))])
}

/// What the server declares in a function that a trigger of `table` calls.
fn trigger_variables(table: &str) -> String {
    format!(
        "new {table}%ROWTYPE; old {table}%ROWTYPE; tg_name name; tg_when text; tg_level text; tg_op text; tg_relid oid;
         tg_relname name; tg_table_name name; tg_table_schema name; tg_nargs int; tg_argv text[];"
    )
}

/// The trials that plan each statement of a function in PL/pgSQL that names one of `names`; of a trigger's for each table that
/// has it, and those too that take all columns of a row. None where its definition is not in the parts that it should be in.
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
    // A trigger's rows are of the table that has it, under whatever name: what takes all their columns counts these.
    let mut names = names.clone();
    names.extend(is_fired.then(|| ".*".to_owned()));
    let mut trials = Vec::new();
    for table in befores {
        let (before, of) = match table.as_str() {
            "" => (String::new(), String::new()),
            table => (trigger_variables(table), format!(" for {table}")),
        };
        for found in body.statements(&names) {
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

/// What fails with the words of `checker` where it finds an error in a function; none where it finds one already, such as a
/// temporary table that is made before it is called: then its statements are tried one by one.
async fn check(
    session: &mut PgConnection,
    checker: &QualifiedName,
    function: &Function,
) -> Result<Option<Statement>, DbError> {
    let oid = Definition::number(usize::try_from(function.oid).unwrap_or(0));
    let check = render(
        "DO $stockfoil_check$ DECLARE
             found text := (SELECT string_agg(format('%s at line %s%s', c.message, c.lineno, coalesce(' (' || c.detail || ')', '')), '; ')
                            FROM {checker}({oid}::oid) AS c WHERE c.level = 'error');
         BEGIN IF found IS NOT NULL THEN RAISE EXCEPTION '%', found; END IF; END $stockfoil_check$",
        &[("checker", checker), ("oid", &oid)],
    );
    match sqlx::raw_sql(check.sql()).execute(session).await {
        Ok(_) => Ok(Some(check)),
        Err(error) if sqlstate(&error).is_some() => Ok(None),
        Err(cause) => Err(DbError::Statement { context: "check a function on the copy".into(), cause }),
    }
}
