//! What is asked of `migrate-org`, and the file of a plan that asks for exactly what it says.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    error::MigrationError, finding, patience::Patience, planned::PlannedStep, report::MigrationReport,
};
use crate::{Error, db::Db, mapping::Mapping, model::Model, settings::nearest, sql::QualifiedName};

/// What a file of a plan says that it is.
const SCHEMA: &str = "stockfoil.plan/1";

/// So much is read of a file that need not be a plan, in bytes.
const BYTES_MAX: u64 = 100_000_000;

/// Which way the migration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Expand: the unique keys that reach across organizations stay, for applications that still name them in
    /// ON CONFLICT.
    #[default]
    Expand,
    /// Expand, and contract: those keys go.
    Contract,
    /// End the default organization of inserts that name none.
    Finalize,
    /// Back to the schema as it was.
    Rollback,
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Which way.
    pub direction: Direction,
    /// Whether organizations are isolated from each other too, or, backwards, only that is taken back.
    pub isolates: bool,
    /// Whether organizations that rows of a column from before name, and that are not there, are made.
    pub adopts_organizations: bool,
    /// What to go on in spite of: names of [`finding::ACCEPTABLE`].
    pub accepted: Vec<String>,
    /// The tenant tables that it is about, by name; all, where none is named.
    pub only: Vec<String>,
    /// The title of the last step that is run, or what no other begins with; all are, where none is named.
    pub until: Option<String>,
    /// How long to wait for other sessions.
    #[serde(skip)]
    pub patience: Patience,
    /// The steps that may be done; whatever is found to be done, where none are named.
    #[serde(skip)]
    pub plan: Option<Vec<PlannedStep>>,
}

impl Request {
    pub(super) async fn model(&self, db: &Db, mapping: &Mapping) -> Result<Model, Error> {
        match self.direction {
            Direction::Rollback => mapping.resolve_to_take_back(db).await,
            Direction::Expand | Direction::Contract | Direction::Finalize => mapping.resolve(db).await,
        }
    }

    /// Whether it takes something from the application that it may rely on, or takes back what was done.
    pub fn destroys(&self) -> bool {
        matches!(self.direction, Direction::Finalize | Direction::Rollback)
    }

    /// The tenant tables that it is about.
    pub(super) fn tables<'a>(&self, model: &'a Model) -> Result<Vec<&'a QualifiedName>, MigrationError> {
        let all = || model.tenant_tables.iter();
        if self.only.is_empty() {
            return Ok(all().collect());
        }
        let table = |given: &String| {
            all()
                .find(|table| {
                    table.plain() == *given
                        || format!("{}.{}", table.schema.as_str(), table.name.as_str()) == *given
                })
                .ok_or_else(|| {
                    let names: Vec<String> = all().map(QualifiedName::plain).collect();
                    let hint = match nearest(given, names.iter().map(String::as_str)) {
                        Some(name) => format!("give {name}"),
                        None => format!("give one of {}", names.join(", ")),
                    };
                    MigrationError::NoTenantTable { table: given.clone(), hint }
                })
        };
        self.only.iter().map(table).collect()
    }

    /// Checks what can be checked without a database.
    ///
    /// # Errors
    /// [`MigrationError::NotAcceptable`].
    pub fn check(&self) -> Result<(), MigrationError> {
        if self.isolates && !matches!(self.direction, Direction::Finalize | Direction::Rollback) {
            return Err(MigrationError::IsolateAlone);
        }
        if !self.only.is_empty() && self.destroys() {
            return Err(MigrationError::OnlyForward);
        }
        match self.accepted.iter().find(|name| !finding::ACCEPTABLE.contains(&name.as_str())) {
            Some(name) => Err(MigrationError::NotAcceptable(name.clone())),
            None => Ok(()),
        }
    }
}

/// A plan of `migrate-org`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// What it is.
    schema: String,
    /// The database that it was made for, for who reads it.
    database: String,
    /// What was asked for.
    request: Request,
    /// The steps that were to be done.
    steps: Vec<PlannedStep>,
}

impl Plan {
    /// What `report`, a dry run of `request`, would do in `database`.
    pub fn new(database: &str, request: &Request, report: &MigrationReport) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            database: database.to_owned(),
            request: request.clone(),
            steps: report.steps.iter().map(PlannedStep::of).collect(),
        }
    }

    /// Reads what was written as JSON.
    ///
    /// # Errors
    /// [`MigrationError::NoPlan`].
    fn read(file: &Path) -> Result<Self, MigrationError> {
        let failed = |reason: String| MigrationError::NoPlan { file: file.to_owned(), reason };
        let size = std::fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
        if size > BYTES_MAX {
            return Err(failed(format!("it has {size} bytes")));
        }
        let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
        let plan: Self = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        match plan.schema.as_str() {
            SCHEMA => Ok(plan),
            other => Err(failed(format!("it is {other:?}, and not {SCHEMA:?}"))),
        }
    }
}

impl Request {
    /// What the plan of `file` says, where there is one; this one asks for nothing then.
    ///
    /// # Errors
    /// [`MigrationError::NoPlan`]; [`MigrationError::PlanAlone`] where it asks for something beside the plan.
    pub fn or_planned(self, file: Option<&Path>) -> Result<Self, MigrationError> {
        let Some(file) = file else { return Ok(self) };
        if self != Self::default() {
            return Err(MigrationError::PlanAlone);
        }
        let plan = Plan::read(file)?;
        Ok(Self { plan: Some(plan.steps), ..plan.request })
    }
}
