//! The rehearsal: a migration is played through before anything is touched, so that whatever fails, fails there.
//!
//! The schema, the roles and some rows of the database are brought into a throwaway cluster of the same version, or into an
//! empty database that is given for it. There the whole migration runs, is taken back, and runs again, and what applications do is tried
//! before it and after it: writes as each role that may write, reads and writes through views, functions. None of this
//! needs to know what could go wrong. The database itself is only read.

mod action;
mod copy;
mod differences;
mod first;
mod functions;
mod given;
mod indexes;
mod kept;
mod lookups;
mod meant;
mod play;
mod probe;
mod report;
mod sample;
mod stage;
mod trial;
mod views;

use std::path::PathBuf;

use crate::{
    Error, Task, backup, catalog,
    db::{Context as _, Db},
    mapping::Mapping,
    migration::{finding::Finding, online::Online, org},
    model::Model,
    progress::{Played, Progress},
    report::Clock,
    settings::Secret,
    tenancy,
    throwaway::{self, Confinement, Folder, Owner, ServerPrograms},
};
pub use first::before;
use given::Given;
pub use report::{LookupChange, LookupCost, ProbeCounts, Rehearsal};
use stage::Stage;

/// How many rows of each tenant table are taken along where nothing else is asked for.
pub const SAMPLE_ROWS: u32 = 1_000;

/// How the sessions of a rehearsal call themselves.
const APPLICATION: &str = "stockfoil-rehearsal";

/// So much room the throwaway cluster takes before the rows.
const ROOM_BYTES: u64 = 200_000_000;

/// Which migration is rehearsed.
#[derive(Debug, Clone)]
pub enum Migration {
    /// One of those that run steps.
    Online(Online),
    /// `migrate-all`.
    All {
        /// What migrate-org is asked for.
        organizations: org::Request,
        /// Versioned files beside the embedded ones.
        folder: Option<PathBuf>,
        /// Whether it is to be taken back.
        is_back: bool,
    },
}

impl Migration {
    /// The command, as its report names it.
    fn command(&self) -> &'static str {
        match self {
            Self::Online(migration) => migration.command(),
            Self::All { .. } => "migrate-all",
        }
    }

    /// Whether it isolates the organizations, or takes that back.
    pub fn isolates(&self) -> bool {
        match self {
            Self::Online(Online::Organizations(request)) | Self::All { organizations: request, .. } => {
                request.isolates
            }
            Self::Online(Online::Balances(_)) => false,
        }
    }

    /// Whether it takes back what was done.
    fn is_back(&self) -> bool {
        match self {
            Self::Online(migration) => migration.is_back(),
            Self::All { is_back, .. } => *is_back,
        }
    }

    /// What it goes on in spite of; none where the command has no `--accept`.
    fn accepted(&self) -> Option<&[String]> {
        match self {
            Self::Online(Online::Organizations(request)) | Self::All { organizations: request, .. } => {
                Some(&request.accepted)
            }
            Self::Online(Online::Balances(_)) => None,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The migration.
    pub migration: Migration,
    /// How many rows of each tenant table are taken along; those that they refer to come with them.
    pub sample: u32,
    /// The URL of the database that it takes place in; none: a throwaway cluster on this machine.
    pub place: Option<Secret>,
}

/// Why nothing could be rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// This machine lacks something, or has too little of it.
    #[error("the migration can't be rehearsed here: {0}")]
    Machine(String),
    /// The database that was given for it can't be used, or not be emptied.
    #[error("the migration can't be rehearsed in the database that was given for it: {0}")]
    Given(String),
    /// The database can't be copied.
    #[error("the migration can't be rehearsed, since {what}: {words}; {remedy}")]
    Copy {
        /// What failed.
        what: String,
        /// What was said.
        words: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It ended before its end, whatever stopped it.
    #[error("the rehearsal did not come to its end, which says nothing of the migration itself: {0}")]
    Ended(String),
}

impl RehearsalError {
    /// What stopped a rehearsal, as such.
    fn of(error: Error) -> Self {
        match error {
            Error::Rehearsal(error) => error,
            error => Self::Ended(error.to_string()),
        }
    }
}

impl From<throwaway::Error> for RehearsalError {
    fn from(error: throwaway::Error) -> Self {
        Self::Machine(error.to_string())
    }
}

/// Everything that a rehearsal stands on.
struct Rehearsing<'a> {
    db: &'a Db,
    mapping: &'a Mapping,
    tenancy: &'a tenancy::Settings,
    request: &'a Request,
    progress: &'a dyn Progress,
}

/// Plays the migration through on a copy. The database is only read.
///
/// What stands in the migration's way is part of the report, and no error.
///
/// # Errors
/// [`RehearsalError`] where nothing can be rehearsed; database errors.
pub fn run<'a>(
    db: &'a Db,
    mapping: &'a Mapping,
    tenancy: &'a tenancy::Settings,
    settings: &'a backup::Settings,
    request: &'a Request,
    progress: &'a dyn Progress,
) -> Task<'a, Rehearsal> {
    Box::pin(async move {
        let progress = &Played(progress);
        let rehearsing = Rehearsing { db, mapping, tenancy, request, progress };
        let mut settings = settings.throwaway();
        settings.names.purpose = "rehearsal";
        match &request.place {
            Some(url) => rehearsing.elsewhere(&settings, url).await,
            None => rehearsing.here(&settings).await,
        }
    })
}

impl Rehearsing<'_> {
    /// Rehearses in a throwaway cluster.
    async fn here(&self, settings: &throwaway::Settings) -> Result<Rehearsal, Error> {
        let owner = Owner::of_cluster(settings).map_err(RehearsalError::from)?;
        for line in throwaway::remove_left(settings, &owner) {
            self.progress.note(&line);
        }
        let folder = Folder::create(settings, &owner).map_err(RehearsalError::from)?;
        folder.require_room(ROOM_BYTES).map_err(RehearsalError::from)?;
        if settings.is_confined {
            Confinement::server(folder.path()).require(settings.names).map_err(RehearsalError::from)?;
        }
        let major = self.major();
        let programs = ServerPrograms::find(settings, Some(major), major, self.progress)
            .await
            .map_err(RehearsalError::from)?;
        self.on(&mut Stage::new(self.db, settings, programs, &folder, owner)).await
    }

    /// Rehearses in the database at `url`.
    async fn elsewhere(&self, settings: &throwaway::Settings, url: &Secret) -> Result<Rehearsal, Error> {
        self.require_no_roles().await?;
        let programs = ServerPrograms::clients(settings, self.major(), self.progress)
            .await
            .map_err(RehearsalError::from)?;
        let given = Given::open(self.db, url, self.progress).await?;
        self.on(&mut Stage::given_as(given, self.db, programs)).await
    }

    fn major(&self) -> u32 {
        u32::try_from(self.db.facts().version_num / 10_000).unwrap_or(0)
    }

    /// Refuses a migration whose way back drops roles: where the database was given, its server's, which may be production's
    /// own.
    async fn require_no_roles(&self) -> Result<(), Error> {
        let is_balances = matches!(self.request.migration, Migration::Online(Online::Balances(_)));
        let mut session = self.db.session().await?;
        if is_balances || !catalog::is_there(&mut session, "stockfoil.change").await? {
            return Ok(());
        }
        let made: Option<String> =
            sqlx::query_scalar("SELECT name FROM stockfoil.change WHERE kind = 'role' ORDER BY name LIMIT 1")
                .fetch_optional(&mut session)
                .await
                .context("look for roles that isolation made")?;
        match made {
            None => Ok(()),
            Some(role) => Err(RehearsalError::Given(format!(
                "isolation made the role {role}, which a rehearsal would drop there, and roles are the whole server's; rehearse without --rehearse-in, in a throwaway cluster"
            ))
            .into()),
        }
    }

    /// Rehearses on `stage`.
    async fn on(&self, stage: &mut Stage<'_>) -> Result<Rehearsal, Error> {
        let report = match stage.up(self.db, self.progress).await {
            Ok(()) => self.rehearse(stage).await,
            Err(error) => Err(error),
        };
        let ended = stage.down().await;
        let report = report.map_err(RehearsalError::of)?;
        ended?;
        Ok(report)
    }

    async fn rehearse(&self, stage: &Stage<'_>) -> Result<Rehearsal, Error> {
        let mut clock = Clock::default();
        let mut report = Rehearsal::of(self.request.migration.command(), stage.place());
        let model = self.model(self.db).await?;
        self.progress.begin("rehearsal: copy the schema and some rows", None);
        copy::bring(self, stage, model.as_ref(), &mut report).await?;
        clock.lap("copy");
        let db = &stage.db().await?;
        let before = stage.schema(self.progress).await?;
        let trials = match &model {
            Some(model) => {
                let migration = &self.request.migration;
                trial::Trials::before(stage, model, migration, &mut report, self.progress).await?
            }
            None => trial::Trials::none(),
        };
        clock.lap("try_before");
        let uncompared = match (&model, play::is_untouched(self, db).await?) {
            (None, _) => Some("there is no inventory yet, and the tables that are made for it stay"),
            (Some(_), false) => Some("this database was migrated in part already"),
            (Some(_), true) => None,
        };
        let mut is_whole = play::forward(self, db, &mut report).await?;
        clock.lap("migrate");
        if is_whole {
            trials.after(stage, self, &mut report).await?;
            if let Some(model) = &model {
                indexes::look(stage, model, &mut report).await?;
            }
            clock.lap("try_after");
        }
        if is_whole {
            is_whole = self.back(stage, db, &before, uncompared, &mut report).await?;
            clock.lap("rollback");
        }
        if is_whole {
            // There and back leaves more dead rows than live ones in the catalog, which every step looks into.
            let mut session = db.session().await?;
            sqlx::raw_sql("VACUUM").execute(&mut session).await.context("clean the copy's catalog up")?;
            drop(session);
            is_whole = play::forward(self, db, &mut report).await?;
            clock.lap("migrate_again");
        }
        if is_whole && play::ahead(self, db, &mut report).await? {
            clock.lap("contract");
        }
        db.close().await;
        report.phases = clock.phases;
        self.progress.finish();
        Ok(report)
    }

    /// Takes it back, and compares the schema with the one `before`, but where `uncompared` says why not; whether it can
    /// go on from there.
    async fn back(
        &self,
        stage: &Stage<'_>,
        db: &Db,
        before: &str,
        uncompared: Option<&str>,
        report: &mut Rehearsal,
    ) -> Result<bool, Error> {
        if !play::back(self, db, report).await? {
            return Ok(false);
        }
        if let Some(why) = uncompared {
            report.not_rehearsed.push(format!(
                "whether a rollback leads back to the schema as it was before Stockfoil: {why}"
            ));
            return Ok(true);
        }
        let after = stage.schema(self.progress).await?;
        report.schema_differences = differences::between(before, &after);
        report.obstacles.extend(report.schema_differences.iter().map(|difference| {
            Finding {
                check: "rollback",
                object: difference.clone(),
                detail: "is not after a rollback what it was before the migration".to_owned(),
                remedy: "it would stay changed for good; report it with pg_dump --schema-only of the object"
                    .to_owned(),
            }
        }));
        Ok(true)
    }

    /// The model, where the database has the inventory already.
    async fn model(&self, db: &Db) -> Result<Option<Model>, Error> {
        match self.mapping.resolve(db).await {
            Ok(model) => Ok(Some(model)),
            Err(Error::Model(_)) if matches!(self.request.migration, Migration::All { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
