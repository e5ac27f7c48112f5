//! The tables that are Stockfoil's own: its records, the organizations and their API keys.

use sqlx::PgConnection;

use super::{
    change::{self, Kind, MIGRATE_ORG},
    step::{Goal, Lock, Step},
};
use crate::{
    db::{Context as _, DbError},
    model::Model,
    org_id::OrgId,
    sql::{Ident, QualifiedName, Statement, render},
    tenancy::{self, schema},
};

/// What the tables of organizations and of their API keys have.
pub(super) const ORGANIZATIONS_COLUMNS: &str = "id,name,subdomain,is_active,created_at,updated_at";
pub(super) const API_KEYS_COLUMNS: &str = "key_id,org_id,hash,created_at,expires_at,revoked_at,last_used_on";
/// What it has since, for the application to read.
const API_KEYS_TEXTS: [&str; 2] = ["label", "scopes"];

/// Objects of a schema `stockfoil` that is another's, if it is.
///
/// # Errors
/// Database errors.
pub(in crate::migration) async fn other_schema(
    session: &mut PgConnection,
) -> Result<Option<String>, DbError> {
    sqlx::query_scalar(include_str!("other_schema.sql"))
        .fetch_one(session)
        .await
        .context("look whose the schema stockfoil is")
}

/// Stockfoil's own tables; on a database that `db-migrate` never saw they are made here.
pub(super) fn steps() -> [Step; 9] {
    let table = |name| QualifiedName::new(Ident::fixed("stockfoil"), Ident::fixed(name));
    let [changed_history, negative, corrections, closings] = findings();
    [
        step(
            "create Stockfoil's own records",
            vec![
                render(include_str!("../../../../migrations/20260101000100_stockfoil_records.up.sql"), &[]),
                render(include_str!("../../../../migrations/20260103000000_migration_memory.up.sql"), &[]),
            ],
            Goal::new(
                "SELECT to_regclass('stockfoil.run') IS NOT NULL AND to_regclass('stockfoil.change') IS NOT NULL AND to_regclass('stockfoil.fill') IS NOT NULL",
                [],
            ),
        ),
        step(
            "remember what each alert channel was told",
            vec![render(
                include_str!("../../../../migrations/20260102000000_alert_state_by_channel.up.sql"),
                &[],
            )],
            Goal::has_columns(
                &table("alert_state"),
                "source,key,channel,severity,summary,opened_at,last_sent_at",
            ),
        ),
        changed_history,
        negative,
        corrections,
        closings,
        step(
            "remember which partitions were closed, and archived",
            vec![render(
                include_str!("../../../../migrations/20260114000000_archived_partitions.up.sql"),
                &[],
            )],
            Goal::new("SELECT to_regclass('stockfoil.archived_partition') IS NOT NULL", []),
        ),
        step(
            "remember which rows are given to another organization",
            vec![render(include_str!("../../../../migrations/20260105000000_moved_rows.up.sql"), &[])],
            Goal::has_columns(
                &table("move"),
                "id,run_id,schema_name,table_name,from_org,to_org,keys,copies,moved_at,undone_run",
            ),
        ),
        isolation_memory(),
    ]
}

/// What was added to the findings since, in its order. An index that a later one replaced was made all the same.
fn findings() -> [Step; 4] {
    [
        step(
            "keep findings of changed history",
            vec![render(include_str!("../../../../migrations/20260107000000_changed_history.up.sql"), &[])],
            Goal::new(
                "SELECT to_regclass('stockfoil.finding_key_idx') IS NOT NULL
                    AND coalesce(to_regclass('stockfoil.finding_open_key_kind'), to_regclass('stockfoil.finding_open_key_sort'), to_regclass('stockfoil.finding_open_key_of_sort')) IS NOT NULL",
                [],
            ),
        ),
        step(
            "keep findings of balances below zero",
            vec![render(include_str!("../../../../migrations/20260111000000_negative_balances.up.sql"), &[])],
            Goal::new(
                "SELECT coalesce(to_regclass('stockfoil.finding_open_key_sort'), to_regclass('stockfoil.finding_open_key_of_sort')) IS NOT NULL",
                [],
            ),
        ),
        step(
            "remember which entries corrected the ledger",
            vec![render(include_str!("../../../../migrations/20260112000000_ledger_corrections.up.sql"), &[])],
            Goal::new(
                "SELECT count(*) = 2 FROM pg_attribute
                 WHERE attrelid = to_regclass('stockfoil.finding') AND attname IN ('entry_id', 'reason') AND NOT attisdropped",
                [],
            ),
        ),
        step(
            "remember what was closed",
            vec![render(include_str!("../../../../migrations/20260113000000_closings.up.sql"), &[])],
            Goal::new(
                "SELECT to_regclass('stockfoil.closing_balance') IS NOT NULL AND to_regclass('stockfoil.finding_open_key_of_sort') IS NOT NULL",
                [],
            ),
        ),
    ]
}

fn step(title: &str, statements: Vec<Statement>, goal: Goal) -> Step {
    Step::short(title.into(), Lock::None, vec![], statements, goal)
}

/// The memory takes rights and what isolation changes; on a database that `db-migrate` never saw its version is applied here.
fn isolation_memory() -> Step {
    Step::short(
        "remember rights, policies and roles".into(),
        Lock::None,
        vec![],
        vec![render(include_str!("../../../../migrations/20260106000000_isolation_memory.up.sql"), &[])],
        Goal::new(
            "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass('stockfoil.change') AND conname = 'change_kind_check'
                            AND pg_get_constraintdef(oid) LIKE '%policy%')",
            [],
        ),
    )
}

/// The columns that a table of API keys from before them has not: one of an earlier release, or one that somebody else made.
///
/// # Errors
/// Database errors.
pub(super) async fn key_texts(session: &mut PgConnection, model: &Model) -> Result<Option<Step>, DbError> {
    let table = &model.api_keys;
    let has_all = has_key_texts(model).is_met(&mut *session).await?;
    if has_all || !Goal::has_columns(table, API_KEYS_COLUMNS).is_met(session).await? {
        return Ok(None);
    }
    let add = render(
        "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS label text, ADD COLUMN IF NOT EXISTS scopes text",
        &[("table", table)],
    );
    let step = Step::short(
        format!("let API keys in {} have a label and scopes", table.plain()),
        Lock::AccessExclusive,
        vec![table.clone()],
        vec![add],
        has_key_texts(model),
    );
    let note = |column| change::note(MIGRATE_ORG, Kind::Column, table, column);
    Ok(Some(API_KEYS_TEXTS.into_iter().fold(step, |step, column| step.remembering(note(column)))))
}

/// The table of API keys is there, with what the application reads of a key.
pub(super) fn has_key_texts(model: &Model) -> Goal {
    Goal::has_columns(&model.api_keys, &API_KEYS_TEXTS.join(","))
}

/// The tables of organizations and of their API keys, and the default organization's row.
pub(super) fn organizations(model: &Model, settings: &tenancy::Settings, default: &OrgId) -> [Step; 3] {
    let note = |table| change::note(MIGRATE_ORG, Kind::Table, table, "");
    [
        Step::short(
            format!("create table {}", model.organizations.plain()),
            Lock::None,
            vec![],
            schema::create_organizations(model, default),
            Goal::has_columns(&model.organizations, ORGANIZATIONS_COLUMNS),
        )
        .making(&model.organizations)
        .remembering(note(&model.organizations)),
        Step::short(
            format!("create table {}", model.api_keys.plain()),
            Lock::ShareRowExclusive,
            vec![model.organizations.clone()],
            vec![schema::create_api_keys(model)],
            Goal::has_columns(&model.api_keys, API_KEYS_COLUMNS),
        )
        .making(&model.api_keys)
        .remembering(note(&model.api_keys)),
        Step::short(
            format!("give the default organization {default} its row"),
            Lock::RowExclusive,
            vec![model.organizations.clone()],
            vec![schema::insert_default(model, default, &settings.default_org_name)],
            Goal::of_table(&model.organizations, include_str!("goals/row.sql"), [default.to_string()]),
        ),
    ]
}
