//! Isolation taken back, from what `stockfoil.change` remembers: the policies first, then the foreign keys as they were,
//! then what both needed.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::{COMMAND, POLICY, default_goal, foreign_key, rights};
use crate::{
    Error, catalog,
    db::Context as _,
    migration::{
        change::{self, Change, ForeignKeyBefore, FunctionBefore, Kind, PolicyBefore},
        default_org, index, lookup,
        operations::{self, Grant, ObjectKind, grant_goal},
        step::{Goal, Lock, Step},
    },
    model::Model,
    sql::{Definition, Fragment, Ident, Literal, QualifiedName, render},
};

/// How far the way back goes.
#[derive(Clone, Copy)]
pub(in crate::migration) enum Way<'a> {
    /// It ends with isolation, and what isolation ended comes back.
    ToShared,
    /// It goes on to the schema as it was, for which that would be made for nothing: the organizations' columns of these
    /// tables go, or get the defaults that they had.
    ToBefore(&'a [&'a QualifiedName]),
}

/// The steps that take isolation back; none where nothing of it is remembered.
///
/// # Errors
/// Database errors.
pub(in crate::migration) async fn back(
    session: &mut PgConnection,
    model: &Model,
    way: Way<'_>,
) -> Result<Vec<Step>, Error> {
    let mut changes = Vec::new();
    for change in change::of(session, COMMAND).await? {
        // What a table had is gone with it.
        let there: bool = sqlx::query_scalar(
            "SELECT to_regclass($1) IS NOT NULL OR $2 OR ($3 AND to_regproc($1) IS NOT NULL)",
        )
        .bind(change.table.to_string())
        .bind(change.kind == Kind::Grant && change.name.starts_with("schema "))
        .bind(change.kind == Kind::Grant && change.name.starts_with("function "))
        .fetch_one(&mut *session)
        .await
        .context("look for what isolation changed")?;
        if there {
            changes.push(change);
        }
    }
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let of = |kind: Kind| changes.iter().rev().filter(move |change| change.kind == kind);
    let mut steps = Vec::new();
    for change in of(Kind::Policy) {
        steps.push(policy(change)?);
    }
    for change in of(Kind::ForeignKey) {
        if let Some(before) = change.before()? {
            steps.extend(restore(session, change, &before).await?);
        }
    }
    for change in of(Kind::ForeignKey) {
        if change.before.is_none() {
            steps.extend(drop_key(session, change).await?);
        }
    }
    // An index that isolation dropped has what it was before.
    for change in of(Kind::Index).filter(|change| change.before.is_none()) {
        // A partition's index goes with its parent's.
        if !index::is_attached(session, &change.table, &change.name).await? {
            let title = format!("drop {} of {}", change.name, change.table.plain());
            steps.push(index::drop(title, &change.table, &Ident::new(change.name.as_str())?, false));
        }
    }
    steps.extend(owners(session, model, of(Kind::Function)).await?);
    for table in &model.tenant_tables {
        steps.extend(default(session, model, table, way).await?);
    }
    if matches!(way, Way::ToShared) {
        steps.extend(lookup::restore(session, model, &changes).await?);
    }
    steps.extend(revokes(of(Kind::Grant))?);
    for change in of(Kind::Role) {
        steps.push(role(change)?);
    }
    steps.push(change::forget(COMMAND));
    Ok(steps)
}

fn policy(change: &Change) -> Result<Step, Error> {
    let table = &change.table;
    let before: PolicyBefore = change.before()?.unwrap_or(PolicyBefore { enabled: false, forced: false });
    let policy = Ident::fixed(POLICY);
    let fragments: [(&str, &dyn Fragment); 2] = [("table", table), ("policy", &policy)];
    let mut statements = Vec::new();
    if !before.forced {
        statements.push(render("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY", &fragments));
    }
    if !before.enabled {
        statements.push(render("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY", &fragments));
    }
    statements.push(render("DROP POLICY IF EXISTS {policy} ON {table}", &fragments));
    Ok(Step::short(
        format!("show all rows of {} again", table.plain()),
        Lock::AccessExclusive,
        vec![table.clone()],
        statements,
        Goal::new(
            "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass($1) AND relrowsecurity = $3::bool AND relforcerowsecurity = $4::bool)
                    AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = to_regclass($1) AND polname = $2)",
            [table.to_string(), POLICY.into(), before.enabled.to_string(), before.forced.to_string()],
        ),
    ))
}

/// The foreign key as it was, on each partition first where its table is partitioned: those cost the parent's nothing.
async fn restore(
    session: &mut PgConnection,
    change: &Change,
    before: &ForeignKeyBefore,
) -> Result<Vec<Step>, Error> {
    let name = Ident::new(change.name.as_str())?;
    let definition = Definition::from_catalog(before.definition.clone());
    let parts = catalog::parts(session, &change.table).await?;
    let Some(root) = parts.first() else { return Ok(Vec::new()) };
    let mut steps = Vec::new();
    let goal = |table: &QualifiedName, state: &str| {
        Goal::new(
            "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2
                            AND replace(pg_get_constraintdef(oid), ' NOT VALID', '') = $3 AND (convalidated OR $4 <> 'valid'))",
            [table.to_string(), name.as_str().into(), before.definition.clone(), state.into()],
        )
    };
    for part in parts.iter().filter(|part| part.is_leaf).chain((!root.is_leaf).then_some(root)) {
        let table = &part.table;
        let fragments: [(&str, &dyn Fragment); 3] =
            [("table", table), ("name", &name), ("definition", &definition)];
        let add = match part.is_leaf {
            true => render("ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID", &fragments),
            false => render("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}", &fragments),
        };
        steps.push(Step::short(
            format!("add foreign key {} to {} as it was", change.name, table.plain()),
            Lock::ShareRowExclusive,
            vec![table.clone()],
            vec![add],
            goal(table, if part.is_leaf { "there" } else { "valid" }),
        ));
        if part.is_leaf {
            steps.push(Step::scan(
                format!("validate foreign key {} of {}", change.name, table.plain()),
                vec![table.clone()],
                render("ALTER TABLE {table} VALIDATE CONSTRAINT {name}", &fragments),
                goal(table, "valid"),
            ));
        }
    }
    if let Some(comment) = &before.comment {
        steps.push(Step::short(
            format!("comment on foreign key {} of {}", change.name, change.table.plain()),
            Lock::ShareUpdateExclusive,
            vec![change.table.clone()],
            vec![render(
                "COMMENT ON CONSTRAINT {name} ON {table} IS {comment}",
                &[("name", &name), ("table", &change.table), ("comment", &Literal::new(comment))],
            )],
            Goal::new(
                "SELECT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = to_regclass($1) AND k.conname = $2
                                AND obj_description(k.oid, 'pg_constraint') = $3)",
                [change.table.to_string(), change.name.clone(), comment.clone()],
            ),
        ));
    }
    Ok(steps)
}

/// The composite key goes; a partition's goes with its parent's.
async fn drop_key(session: &mut PgConnection, change: &Change) -> Result<Option<Step>, Error> {
    let row: Option<(String, String)> = sqlx::query_as(
        "SELECT n.nspname::text, c.relname::text
         FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.confrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE k.conrelid = to_regclass($1) AND k.conname = $2 AND k.contype = 'f' AND k.conparentid = 0",
    )
    .bind(change.table.to_string())
    .bind(&change.name)
    .fetch_optional(session)
    .await
    .context("look for a foreign key that isolation made")?;
    let Some((schema, table)) = row else { return Ok(None) };
    let referenced = QualifiedName::new(Ident::new(schema)?, Ident::new(table)?);
    let title = format!("drop foreign key {} of {}", change.name, change.table.plain());
    Ok(Some(foreign_key::drop(title, &referenced, &change.table, &Ident::new(change.name.as_str())?)))
}

/// All functions in one step, as they were given away: one that runs as its owner calls others that only their owner may call.
async fn owners(
    session: &mut PgConnection,
    model: &Model,
    changes: impl Iterator<Item = &Change>,
) -> Result<Option<Step>, Error> {
    let tables = rights::writers_tables(session, model).await?;
    let (lock, mut statements) = rights::hold_writers(&tables);
    let mut owners = Vec::new();
    for change in changes {
        let Some(before) = change.before::<FunctionBefore>()? else { continue };
        let is_there: bool = sqlx::query_scalar("SELECT to_regprocedure($1) IS NOT NULL")
            .bind(&change.name)
            .fetch_one(&mut *session)
            .await
            .context("look for a function that isolation gave away")?;
        if is_there {
            statements.push(operations::give(&change.name, &Ident::new(before.owner.as_str())?));
            owners.push((change.name.clone(), before.owner));
        }
    }
    if owners.is_empty() {
        return Ok(None);
    }
    let names: BTreeSet<&str> = owners.iter().map(|(_, owner)| owner.as_str()).collect();
    Ok(Some(Step::short(
        format!("give Stockfoil's functions back to {}", Vec::from_iter(names).join(", ")),
        lock,
        tables,
        statements,
        Goal::new(
            "SELECT NOT EXISTS (SELECT FROM jsonb_array_elements($1::jsonb) AS o (pair)
                                JOIN pg_proc AS p ON p.oid = to_regprocedure(o.pair ->> 0)
                                WHERE pg_get_userbyid(p.proowner) <> o.pair ->> 1)",
            [serde_json::json!(owners).to_string()],
        ),
    )))
}

/// The default that isolation gave goes. Where the way ends with isolation, one that gave the default organization comes back;
/// where there was none any more, nothing is there that could give it. Where the column's own step is still to come, it stays
/// until then: who names no organization writes on.
async fn default(
    session: &mut PgConnection,
    model: &Model,
    table: &QualifiedName,
    way: Way<'_>,
) -> Result<Option<Step>, Error> {
    let org = &model.org_column;
    if catalog::column(session, table, org).await?.is_none() {
        return Ok(None);
    }
    if matches!(way, Way::ToBefore(columns) if columns.contains(&table)) {
        return Ok(None);
    }
    let is_shared = matches!(way, Way::ToShared) && default_org::is_there(session, table).await?;
    let (title, statement) = if is_shared {
        let title = format!("let inserts into {} have the default organization again", table.plain());
        (title, default_org::settle(model, table))
    } else {
        let title = format!("give inserts into {} the session's organization no longer", table.plain());
        let drop = "ALTER TABLE {table} ALTER COLUMN {org} DROP DEFAULT";
        (title, render(drop, &[("table", table), ("org", org)]))
    };
    Ok(Some(Step::short(
        title,
        Lock::AccessExclusive,
        vec![table.clone()],
        vec![statement],
        default_goal(model, table, false),
    )))
}

/// What each role was given goes; what it had before stays.
fn revokes<'a>(changes: impl Iterator<Item = &'a Change>) -> Result<Vec<Step>, Error> {
    let mut given: BTreeMap<&str, Vec<Grant>> = BTreeMap::new();
    for change in changes {
        let Some((kind, role)) = change.name.split_once(' ') else { continue };
        let Some(kind) = ObjectKind::of_word(kind) else { continue };
        let held: Vec<String> = change.before()?.unwrap_or_default();
        let most: &[&'static str] = match kind {
            ObjectKind::Table => operations::ROWS,
            ObjectKind::Sequence => operations::SEQUENCE,
            ObjectKind::Schema => &["USAGE", "CREATE"],
            ObjectKind::Function => &["EXECUTE"],
        };
        let privileges: Vec<&'static str> =
            most.iter().copied().filter(|privilege| !held.iter().any(|held| held == privilege)).collect();
        if !privileges.is_empty() {
            given.entry(role).or_default().push(Grant { kind, object: change.table.clone(), privileges });
        }
    }
    let step = |(role, grants): (&str, Vec<Grant>)| {
        let role = Ident::new(role)?;
        let revoke =
            |grant: &Grant| grant.statement(&role, "REVOKE {privileges} ON {kind} {object} FROM {role}");
        Ok(Step::short(
            format!("take from {} what it was given", role.as_str()),
            Lock::None,
            vec![],
            grants.iter().map(revoke).collect(),
            grant_goal(&role, &grants, "none"),
        ))
    };
    given.into_iter().map(step).collect()
}

/// A role that isolation made goes, unless it has got members, or rights elsewhere, meanwhile.
fn role(change: &Change) -> Result<Step, Error> {
    let role = Ident::new(change.name.as_str())?;
    Ok(Step::short(
        format!("drop role {}, which nothing uses any more", change.name),
        Lock::None,
        vec![],
        vec![render("DROP ROLE {role}", &[("role", &role)])],
        Goal::new(
            "SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)
                    OR EXISTS (SELECT FROM pg_roles AS r JOIN pg_shdepend AS d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid
                               WHERE r.rolname = $1)
                    OR EXISTS (SELECT FROM pg_roles AS r JOIN pg_auth_members AS m ON m.roleid = r.oid WHERE r.rolname = $1)
                    OR EXISTS (SELECT FROM pg_roles AS r JOIN pg_stat_activity AS a ON a.usesysid = r.oid WHERE r.rolname = $1)",
            [change.name.clone()],
        ),
    ))
}
