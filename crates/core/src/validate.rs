//! Every claim of the migrations, checked against the database, each with what was looked at.

pub mod isolation;

use std::path::Path;

use serde::Serialize;
use sqlx::PgConnection;

use crate::{
    Error, Task,
    balance::{self, State},
    catalog,
    config::Config,
    db::{Context as _, Db},
    mapping::Mapping,
    migration::{self, versioned},
    model::Model,
    progress::Progress,
    report::{Metric, Outcome, Report},
    sql::QualifiedName,
    tenancy::OrgId,
};

/// Which claims to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What the versioned migrations and `migrate-org` claim.
    Organizations,
    /// Those, and what `migrate-balance` and `backfill-balances` claim.
    All,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The claim holds.
    Passed,
    /// The claim does not hold.
    Failed,
}

/// One claim, checked.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What is claimed, such as `column` or `foreign_key`.
    pub name: &'static str,
    /// The object that it is claimed of.
    pub object: String,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was looked at, and what was found there.
    pub evidence: String,
    /// What mends it; empty when it holds.
    pub remedy: String,
}

/// What `validate-migration` found.
#[derive(Debug, Clone, Serialize)]
pub struct Validation {
    /// Checks that hold.
    pub passed: usize,
    /// Checks that do not.
    pub failed: usize,
    /// Rows of the tenant tables, counted.
    pub rows: i64,
    /// Every check, in the order in which it was made.
    pub checks: Vec<Check>,
}

impl Report for Validation {
    const SCHEMA: &'static str = "stockfoil.validation/1";

    fn outcome(&self) -> Outcome {
        // Nothing looked at is nothing proved.
        if self.failed == 0 && self.passed > 0 { Outcome::Clean } else { Outcome::Findings }
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |verdict: &str, count: usize| Metric {
            name: "stockfoil_migration_checks",
            help: "Claims of the migrations by verdict.",
            labels: vec![("verdict", verdict.to_owned())],
            value: count.to_string(),
        };
        vec![metric("passed", self.passed), metric("failed", self.failed)]
    }
}

/// Checks the claims of `scope`. Reads only; scans each tenant table once.
///
/// # Errors
/// Database errors; a claim that does not hold is no error but a failed check.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    config: &'a Config,
    folder: Option<&'a Path>,
    scope: Scope,
    progress: &'a dyn Progress,
) -> Task<'a, Validation> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let mut checks = Checks::default();
        checks.versions(db, mapping, folder, progress).await?;
        let mut session = db.session().await?;
        let organizations = checks.organizations(&mut session, model, config).await?;
        let mut rows = 0;
        progress.begin("tables checked", Some(model.tenant_tables.len() as u64));
        for table in &model.tenant_tables {
            rows += checks.table(&mut session, model, table, organizations).await?;
            progress.advance(1);
        }
        progress.finish();
        checks.resolution(&mut session, model, config).await?;
        checks.isolation(&mut session, model).await?;
        if scope == Scope::All {
            checks.balances(&mut session, model).await?;
            checks.backfill(&mut session, model, organizations).await?;
        }
        Ok(checks.validation(rows))
    })
}

impl Check {
    /// Lets what the operator knows of and lives with hold; false where it holds by itself.
    fn pass_as_accepted(&mut self) -> bool {
        let was_failed = self.verdict == Verdict::Failed;
        if was_failed {
            self.verdict = Verdict::Passed;
            self.evidence = format!("accepted in the configuration: {}", self.evidence);
            self.remedy.clear();
        }
        was_failed
    }
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn validation(self, rows: i64) -> Validation {
        let checks = self.0;
        let passed = checks.iter().filter(|check| check.verdict == Verdict::Passed).count();
        Validation { passed, failed: checks.len() - passed, rows, checks }
    }

    fn add(
        &mut self,
        name: &'static str,
        object: impl Into<String>,
        holds: bool,
        evidence: String,
        remedy: &str,
    ) {
        let (verdict, remedy) = if holds { (Verdict::Passed, "") } else { (Verdict::Failed, remedy) };
        self.0.push(Check { name, object: object.into(), verdict, evidence, remedy: remedy.to_owned() });
    }

    async fn versions(
        &mut self,
        db: &Db,
        mapping: &Mapping,
        folder: Option<&Path>,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let versions = versioned::run(db, mapping, folder, versioned::Mode::Status, progress).await?;
        let applied = versions.count(versioned::State::Applied);
        let others = versions.versions.len() - applied;
        self.add(
            "versions",
            "_sqlx_migrations",
            versions.outcome() == Outcome::Clean,
            format!("{applied} versions applied, {others} pending, changed or unknown"),
            "db-migrate --status says which; db-migrate applies what is pending",
        );
        Ok(())
    }

    /// Returns whether there is a table of organizations to compare with.
    async fn organizations(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        config: &Config,
    ) -> Result<bool, Error> {
        let object = model.organizations.plain();
        let there: bool =
            sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL")
                .bind(model.organizations.to_string())
                .bind(model.api_keys.to_string())
                .fetch_one(&mut *session)
                .await
                .context("look for organizations")?;
        if !there {
            self.add("organizations", object, false, "the tables are not there".into(), "migrate-org");
            return Ok(false);
        }
        let default = &config.tenancy.default_org_id;
        let statement =
            model.render("SELECT count(*), count(*) FILTER (WHERE id::text = $1) = 1 FROM {organizations}");
        let (count, has_default): (i64, bool) = sqlx::query_as(statement.sql())
            .bind(default)
            .fetch_one(&mut *session)
            .await
            .context("count the organizations")?;
        let which = if has_default { "among them" } else { "not among them" };
        self.add(
            "organizations",
            object,
            has_default,
            format!("{count} organizations, the default one ({default}) {which}"),
            "migrate-org",
        );
        Ok(true)
    }

    /// Checks one tenant table, and returns how many rows it has.
    async fn table(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
        organizations: bool,
    ) -> Result<i64, Error> {
        let (object, org) = (table.plain(), model.org_column.as_str());
        let column = catalog::column(session, table, &model.org_column).await?;
        let (holds, evidence) = match &column {
            None => (false, format!("there is no column {org}")),
            Some(column) => {
                let null = if column.not_null { "NOT NULL" } else { "nullable" };
                (
                    column.type_name == model.org_type.name() && column.not_null,
                    format!("{org} is {}, {null}", column.type_name),
                )
            }
        };
        self.add("column", object.clone(), holds, evidence, "migrate-org");
        if !organizations || column.is_none_or(|column| column.type_name != model.org_type.name()) {
            return Ok(0);
        }
        let rows = self.rows(session, model, table).await?;
        self.insert_default(session, model, table).await?;
        let parts = catalog::parts(session, table).await?;
        for part in &parts {
            // A partition's key is a part of its parent's, unless it is the partition's alone.
            let is_root = part.table == *table;
            self.foreign_key(session, model, &part.table, is_root).await?;
            self.unique_keys(session, model, &part.table).await?;
        }
        self.remembered_keys(session, model, table).await?;
        Ok(rows)
    }

    async fn foreign_key(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
        is_root: bool,
    ) -> Result<(), Error> {
        let key = catalog::foreign_key(session, table, &model.org_column, &model.organizations).await?;
        let (holds, evidence) = match key {
            Some(key) if key.valid && !is_root => return Ok(()),
            None => (false, "no foreign key onto organizations".to_owned()),
            Some(key) if key.valid => (true, format!("{} is valid", key.name.as_str())),
            Some(key) => (false, format!("{} is NOT VALID", key.name.as_str())),
        };
        self.add("foreign_key", table.plain(), holds, evidence, "migrate-org");
        Ok(())
    }

    async fn rows(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
    ) -> Result<i64, Error> {
        // The few organizations are the hashed side, so this is one scan of the table whatever its size.
        let statement = model.render_with(
            "SELECT count(*), count(*) FILTER (WHERE t.{org} IS NULL), count(*) FILTER (WHERE t.{org} IS NOT NULL AND o.id IS NULL)
             FROM {table} t LEFT JOIN {organizations} o ON o.id = t.{org}",
            &[("table", table)],
        );
        let (rows, none, unknown): (i64, i64, i64) = sqlx::query_as(statement.sql())
            .fetch_one(session)
            .await
            .context(format!("count the rows of {}", table.plain()))?;
        self.add(
            "rows",
            table.plain(),
            none == 0 && unknown == 0,
            format!("{rows} rows: {none} without an organization, {unknown} of an unknown one"),
            "give them to an organization that exists (UPDATE), then run migrate-org",
        );
        Ok(rows)
    }

    async fn unique_keys(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
    ) -> Result<(), Error> {
        let org = Some(model.org_column.as_str());
        let keys = catalog::unique_keys(session, table).await?;
        for key in &keys {
            let columns: Vec<&str> =
                key.columns.iter().map(|column| column.as_deref().unwrap_or("an expression")).collect();
            let leads = columns.first().copied() == org;
            let evidence = match (leads, key.valid) {
                (true, true) => format!("({}) is valid", columns.join(", ")),
                (true, false) => format!("({}) is INVALID", columns.join(", ")),
                (false, _) => {
                    format!("({}) does not begin with {}", columns.join(", "), model.org_column.as_str())
                }
            };
            let object = format!("{}.{}", table.plain(), key.name.as_str());
            self.add(
                "unique_key",
                object,
                leads && key.valid,
                evidence,
                "drop it if it is a left-over, then migrate-org",
            );
        }
        for wanted in model.natural_keys.iter().filter(|wanted| wanted.table == *table) {
            let columns: Vec<&str> = wanted.columns.iter().map(|column| column.as_str()).collect();
            let found = keys.iter().find(|key| {
                let mut found = key.columns.iter().map(Option::as_deref);
                key.valid && found.next().flatten() == org && found.eq(columns.iter().copied().map(Some))
            });
            let evidence = match found {
                Some(key) => format!("kept unique per organization by {}", key.name.as_str()),
                None => "nothing keeps it unique per organization".to_owned(),
            };
            let object = format!("{}({})", table.plain(), columns.join(", "));
            self.add(
                "natural_key",
                object,
                found.is_some(),
                evidence,
                "add the unique key again, then migrate-org",
            );
        }
        let invalid: Vec<String> = sqlx::query_scalar(
            "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = to_regclass($1) AND NOT i.indisunique AND NOT (i.indisvalid AND i.indisready) ORDER BY 1",
        )
        .bind(table.to_string())
        .fetch_all(session)
        .await
        .context(format!("look for INVALID indexes of {}", table.plain()))?;
        for name in invalid {
            let object = format!("{}.{name}", table.plain());
            self.add(
                "index",
                object,
                false,
                "it is INVALID".into(),
                "DROP INDEX CONCURRENTLY it, then migrate again",
            );
        }
        Ok(())
    }

    /// What an insert without an organization gets: nothing, something of the application's own, or the default
    /// organization, counted; the constant default is from before the migration was over.
    async fn insert_default(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
    ) -> Result<(), Error> {
        let column = catalog::column(session, table, &model.org_column).await?;
        let Some(default) = column.and_then(|column| column.default) else { return Ok(()) };
        let is_counted = default.contains("default_org(");
        let function: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_proc WHERE oid = to_regprocedure('stockfoil.default_org(text)') AND prosecdef
                            AND prosrc LIKE '%app.org_id%' AND prosrc LIKE '%nextval%' AND proconfig = '{\"search_path=pg_catalog, pg_temp\"}')",
        )
        .fetch_one(session)
        .await
        .context("look at the function of the default organization")?;
        let evidence = match (is_counted, function) {
            (true, true) => {
                "inserts without an organization go to the default one, and are counted".to_owned()
            }
            (true, false) => "stockfoil.default_org is not as it should be".to_owned(),
            (false, _) => format!("the application's own: {default}"),
        };
        let object = format!("{}.{}", table.plain(), model.org_column.as_str());
        self.add("default", object, !is_counted || function, evidence, "migrate-org");
        Ok(())
    }

    /// Keys that migrate-org replaced: what they kept unique is kept unique within each organization.
    async fn remembered_keys(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
    ) -> Result<(), Error> {
        for (name, found) in migration::replaced_keys(session, model, table).await? {
            let object = format!("{}.{name}", table.plain());
            let evidence = match found {
                true => "it was replaced by one that begins with the organization".to_owned(),
                false => "it was replaced, and what replaced it is gone or was changed".to_owned(),
            };
            let remedy = "add the unique key again as it was, then migrate-org";
            self.add("replaced_key", object, found, evidence, remedy);
        }
        Ok(())
    }

    /// The functions that an application finds a request's organization by.
    async fn resolution(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        config: &Config,
    ) -> Result<(), Error> {
        let Ok(default) = OrgId::of(model.org_type, &config.tenancy.default_org_id) else {
            // That it is no id was found where the organizations were looked at.
            return Ok(());
        };
        for (function, holds) in migration::resolution::states(session, model, &default).await? {
            let evidence = match holds {
                true => "there, with its definition, and not for everybody",
                false => "it is not there, was changed, or everybody may execute it",
            };
            self.add("resolution", function, holds, evidence.to_owned(), "migrate-org");
        }
        Ok(())
    }

    async fn isolation(&mut self, session: &mut PgConnection, model: &Model) -> Result<(), Error> {
        let tables: Vec<String> = model.tenant_tables.iter().map(ToString::to_string).collect();
        let (enabled, guarded): (i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE c.relrowsecurity),
                    count(*) FILTER (WHERE c.relrowsecurity AND c.relforcerowsecurity
                                     AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid))
             FROM pg_class c WHERE c.oid IN (SELECT to_regclass(t) FROM unnest($1::text[]) t)",
        )
        .bind(&tables)
        .fetch_one(session)
        .await
        .context("look for row-level security")?;
        let all = tables.len();
        let evidence = match enabled {
            0 => "row-level security is not enabled on any tenant table".to_owned(),
            _ => format!(
                "row-level security is enabled on {enabled} of {all} tenant tables, forced with a policy on {guarded}"
            ),
        };
        let holds = enabled == 0 || usize::try_from(guarded) == Ok(all);
        self.add(
            "isolation",
            "tenant tables",
            holds,
            evidence,
            "enable and force it with a policy on every tenant table, or on none",
        );
        Ok(())
    }

    async fn balances(&mut self, session: &mut PgConnection, model: &Model) -> Result<(), Error> {
        let objects = balance::objects(model);
        for (object, state) in balance::inspect(session, &objects).await? {
            let evidence = match &state {
                State::Intact => "there, with its definition".to_owned(),
                State::Missing => "it is not there".to_owned(),
                State::Unwanted => "it is there, though [ledger] replicated is false".to_owned(),
                State::Altered(how) => format!("it is not as it should be: {how}"),
            };
            let name = format!("{} {}", object.kind.as_str(), object.name.as_str());
            self.add(
                "balances",
                name,
                state == State::Intact,
                evidence,
                "migrate-balance, then reconcile-balances",
            );
        }
        Ok(())
    }

    async fn backfill(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        organizations: bool,
    ) -> Result<(), Error> {
        let object = "stockfoil.backfill";
        let there: bool = sqlx::query_scalar(
            "SELECT to_regclass($1) IS NOT NULL AND to_regclass('stockfoil.backfill') IS NOT NULL",
        )
        .bind(model.balances.table.to_string())
        .fetch_one(&mut *session)
        .await
        .context("look for the state of the backfill")?;
        if !there || !organizations {
            self.add(
                "backfill",
                object,
                false,
                "there are no balances to look at".into(),
                "migrate-balance, then backfill-balances",
            );
            return Ok(());
        }
        let missing = balance::not_backfilled(session, model).await?;
        let evidence = match missing.as_slice() {
            [] => "every organization was backfilled and verified, or came after the triggers".to_owned(),
            missing => {
                let names: Vec<&str> = missing.iter().map(OrgId::as_str).collect();
                format!("not yet: {}", names.join(", "))
            }
        };
        self.add("backfill", object, missing.is_empty(), evidence, "backfill-balances");
        Ok(())
    }
}
