//! Every claim of the migrations, checked against the database, each with what was looked at.

mod balances;
mod foreign_keys;
pub mod isolation;
mod memberships;
pub mod proof;
mod tables;
pub mod way_back;

use std::path::Path;

use serde::Serialize;
use sqlx::PgConnection;

use crate::{
    Error, Task,
    db::{Context as _, Db, PLAN_ONCE},
    mapping::Mapping,
    migration::{self, versioned},
    model::Model,
    org_id::OrgId,
    progress::Progress,
    report::{Metric, Outcome, Report},
    tenancy::{
        self,
        default_organization::{self, Change},
    },
};

/// Which claims to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What the versioned migrations and `migrate-org` claim.
    Organizations,
    /// Those, and, where anything of the balances is there, all that `migrate-balance` and `backfill-balances` claim.
    Found,
    /// All of it, whether anything of the balances is there or nothing.
    All,
}

impl Scope {
    /// As far as things are there, and what is `required` beside it.
    pub fn requiring(required: &[Required]) -> Self {
        if required.contains(&Required::Balances) { Scope::All } else { Scope::Found }
    }
}

/// What can be asked to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Required {
    /// The balances.
    Balances,
}

impl std::str::FromStr for Required {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "balances" => Ok(Self::Balances),
            _ => Err(format!("{text:?} is nothing that can be required; give balances")),
        }
    }
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The claim holds.
    Passed,
    /// Nothing that the migrations claim by now: of a phase that is asked for, or the application's and worth a look.
    Warned,
    /// The claim does not hold.
    Failed,
    /// Nothing is there yet that the claim could be of, and nothing asked for it.
    Skipped,
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
    /// What `[tenancy.isolation] accepted` would say to live with it; where it is a hole in isolation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept: Option<String>,
    /// What it is of, where the evidence doesn't say all of it.
    #[serde(skip)]
    pub(crate) identity: Option<String>,
    /// Whether it is of what a release brings, and says nothing of the data: the database of an older one fails it.
    #[serde(skip)]
    pub is_of_release: bool,
}

/// The claims of what a release brings beside the data.
const OF_RELEASE: [&str; 5] = ["versions", "lookup", "privileges", "resolution", "default"];

/// What `validate-migration` found.
#[derive(Debug, Clone, Serialize)]
pub struct Validation {
    /// Checks that hold.
    pub passed: usize,
    /// Checks that do not.
    pub failed: usize,
    /// Checks of what is not there yet.
    pub skipped: usize,
    /// Rows of the tenant tables, counted.
    pub rows: i64,
    /// Every check, in the order in which it was made.
    pub checks: Vec<Check>,
    /// Whether there was nothing to look at, and nothing is wrong with that.
    #[serde(skip)]
    pub(crate) is_moot: bool,
}

impl Report for Validation {
    const SCHEMA: &'static str = "stockfoil.validation/1";

    fn outcome(&self) -> Outcome {
        // Nothing looked at is nothing proved.
        if self.failed == 0 && (self.passed > 0 || self.is_moot) { Outcome::Clean } else { Outcome::Findings }
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |verdict: &str, count: usize| Metric {
            name: "stockfoil_migration_checks",
            help: "Claims of the migrations by verdict.",
            labels: vec![("verdict", verdict.to_owned())],
            value: count.to_string(),
        };
        vec![metric("passed", self.passed), metric("failed", self.failed), metric("skipped", self.skipped)]
    }
}

/// Checks the claims of `scope`. Reads only; scans each tenant table once.
///
/// # Errors
/// Database errors; a claim that does not hold is no error but a failed check.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    settings: &'a tenancy::Settings,
    folder: Option<&'a Path>,
    scope: Scope,
    progress: &'a dyn Progress,
) -> Task<'a, Validation> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let mut checks = Checks::default();
        let mut session = db.session().await?;
        sqlx::query(PLAN_ONCE).execute(&mut session).await?;
        default_organization::check(&mut session, model, &settings.default_org_id, Change::Refused).await?;
        checks.versions(db, mapping, folder, progress).await?;
        let organizations = checks.organizations(&mut session, model, settings).await?;
        let mut rows = 0;
        progress.begin("tables checked", Some(model.tenant_tables.len() as u64));
        for table in &model.tenant_tables {
            rows += checks.table(&mut session, model, table, organizations).await?;
            progress.advance(1);
        }
        progress.finish();
        checks.global_keys(&mut session, model).await?;
        checks.lookups(&mut session, model).await?;
        checks.resolution(&mut session, model, settings).await?;
        checks.memberships(&mut session, model, organizations).await?;
        checks.privileges(&mut session, model).await?;
        checks.enforced(&mut session, model).await?;
        checks.isolation(&mut session, model).await?;
        let begun = match scope {
            Scope::Organizations => false,
            Scope::Found => checks.balances_begun(&mut session, model).await?,
            Scope::All => true,
        };
        if begun {
            checks.balances(&mut session, model).await?;
            checks.backfill(&mut session, model, organizations).await?;
        }
        Ok(checks.validation(rows))
    })
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn validation(self, rows: i64) -> Validation {
        let checks = self.0;
        let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
        let [passed, failed, skipped] = [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(count);
        Validation { passed, failed, skipped, rows, checks, is_moot: false }
    }

    fn add(
        &mut self,
        name: &'static str,
        object: impl Into<String>,
        holds: bool,
        evidence: String,
        remedy: &str,
    ) {
        self.add_of(OF_RELEASE.contains(&name), (name, object.into()), holds, evidence, remedy);
    }

    /// Adds what nothing claims by now, and is worth a look.
    fn warn(&mut self, name: &'static str, object: String, evidence: String, remedy: &str) {
        self.0.push(Check {
            name,
            object,
            verdict: Verdict::Warned,
            evidence,
            remedy: remedy.to_owned(),
            accept: None,
            identity: None,
            is_of_release: false,
        });
    }

    /// Adds what is not there yet.
    fn skip(&mut self, name: &'static str, object: String, evidence: &str, remedy: &str) {
        self.0.push(Check {
            name,
            object,
            verdict: Verdict::Skipped,
            evidence: evidence.to_owned(),
            remedy: remedy.to_owned(),
            accept: None,
            identity: None,
            is_of_release: false,
        });
    }

    /// Adds the check, its name and its object, that is of what a release brings, or of the data.
    fn add_of(
        &mut self,
        is_of_release: bool,
        (name, object): (&'static str, String),
        holds: bool,
        evidence: String,
        remedy: &str,
    ) {
        let (verdict, remedy) = if holds { (Verdict::Passed, "") } else { (Verdict::Failed, remedy) };
        self.0.push(Check {
            name,
            object,
            verdict,
            evidence,
            remedy: remedy.to_owned(),
            accept: None,
            identity: None,
            is_of_release,
        });
    }

    /// Says what the check that was added last is of.
    fn identify(&mut self, identity: Option<String>) {
        if let Some(check) = self.0.last_mut() {
            check.identity = identity;
        }
    }

    /// Whether the database is not of this release, by the versions that it has.
    fn is_of_another_release(&self) -> bool {
        self.0.iter().any(|check| check.name == "versions" && check.verdict == Verdict::Failed)
    }

    async fn versions(
        &mut self,
        db: &Db,
        mapping: &Mapping,
        folder: Option<&Path>,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let versions = versioned::run(db, mapping, folder, versioned::Mode::Status, progress).await?;
        let applied = [versioned::State::Applied, versioned::State::Recorded]
            .map(|state| versions.count(state))
            .iter()
            .sum::<usize>();
        let others = versions.versions.len() - applied;
        let shared = match &*versions.shared {
            [] => String::new(),
            tables => format!("; an earlier release recorded them in {}", tables.join(", ")),
        };
        self.add(
            "versions",
            "stockfoil.migration",
            versions.outcome() == Outcome::Clean,
            format!("{applied} versions applied, {others} pending, changed or unknown{shared}"),
            "db-migrate --status says which; db-migrate applies what is pending",
        );
        Ok(())
    }

    /// Returns whether there is a table of organizations to compare with.
    async fn organizations(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        settings: &tenancy::Settings,
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
        let default = &settings.default_org_id;
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
            object.clone(),
            has_default,
            format!("{count} organizations, the default one ({default}) {which}"),
            "migrate-org",
        );
        for (evidence, remedy) in migration::unsound_organizations(session, model).await? {
            self.add("organizations", object.clone(), false, evidence, &remedy);
        }
        Ok(true)
    }

    /// The functions that an application finds a request's organization by.
    async fn resolution(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        settings: &tenancy::Settings,
    ) -> Result<(), Error> {
        let Ok(default) = OrgId::of(model.org_type, &settings.default_org_id) else {
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

    /// That nobody has got rights on Stockfoil's own objects without a word.
    async fn privileges(&mut self, session: &mut PgConnection, model: &Model) -> Result<(), Error> {
        let state = migration::privileges::state(session, model).await?;
        let holds = state.is_closed && state.handed.is_empty();
        let evidence = match (state.is_closed, state.handed.is_empty()) {
            (true, true) => "each was closed; nobody has a right that was not granted by name".to_owned(),
            (false, _) => {
                "there are some from before they were closed: default privileges may have given them away"
                    .to_owned()
            }
            (true, false) => format!(
                "made again since they were closed, and given away by default privileges: {}",
                state.handed.join("; ")
            ),
        };
        let remedy = "migrate-org, and migrate-balance where there are balances";
        self.add("privileges", "Stockfoil's own objects", holds, evidence, remedy);
        Ok(())
    }

    /// Until the default organization ends, the application may look rows up by the keys that were replaced.
    async fn lookups(&mut self, session: &mut PgConnection, model: &Model) -> Result<(), Error> {
        for (table, columns, is_served) in migration::lookup::states(session, model).await? {
            let evidence = match is_served {
                true => "an index serves lookups that name no organization",
                false => "no index serves lookups that name no organization; each reads the whole table",
            };
            let object = format!("{}({columns})", table.plain());
            self.add("lookup", object, is_served, evidence.to_owned(), "migrate-org");
        }
        Ok(())
    }

    async fn isolation(&mut self, session: &mut PgConnection, model: &Model) -> Result<(), Error> {
        let tables: Vec<String> = model.tenant_tables.iter().map(ToString::to_string).collect();
        let (enabled, begun, guarded): (i64, i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE c.relrowsecurity), count(*) FILTER (WHERE is_ours),
                    count(*) FILTER (WHERE is_ours AND c.relrowsecurity AND c.relforcerowsecurity)
             FROM pg_class c
             CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = $2)) AS p (is_ours)
             WHERE c.oid IN (SELECT to_regclass(t) FROM unnest($1::text[]) t)",
        )
        .bind(&tables)
        .bind(migration::isolation::POLICY)
        .fetch_one(session)
        .await
        .context("look for row-level security")?;
        let all = tables.len();
        let evidence = match (begun, enabled) {
            (0, 0) => "row-level security is not enabled on any tenant table".to_owned(),
            // What the application keeps apart by it, and how, is not known here.
            (0, _) => format!(
                "not isolated by Stockfoil; row-level security of the application's own is enabled on {enabled} of {all} tenant tables"
            ),
            _ => format!("Stockfoil's policy is enabled and forced on {guarded} of {all} tenant tables"),
        };
        let holds = begun == 0 || usize::try_from(guarded) == Ok(all);
        self.add(
            "isolation",
            "tenant tables",
            holds,
            evidence,
            "migrate-org --finalize --isolate, or --rollback --isolate",
        );
        Ok(())
    }
}
