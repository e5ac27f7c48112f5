//! The migration on the copy: forward, and back.

use super::{Migration, Rehearsal, Rehearsing};
use crate::{
    Error, catalog,
    db::{Context as _, Db, DbError, all_words},
    migration::{
        MigrationError, balance,
        finding::Finding,
        online::Online,
        org::{self, Direction},
        report::MigrationReport,
        step::StepReport,
    },
    sequence::{self, Sequence},
    validate::{Validation, Verdict},
};

/// So much of a step's SQL is shown, in characters.
const SQL_MAX: usize = 1_000;

/// Whether nothing of the migration is there yet, so that its rollback must lead back to the schema as it is.
pub(super) async fn is_untouched(rehearsing: &Rehearsing<'_>, db: &Db) -> Result<bool, Error> {
    let Rehearsing { mapping, tenancy, request, .. } = *rehearsing;
    let migration = &request.migration;
    let mut session = db.session().await?;
    let is_remembered = catalog::is_there(&mut session, "stockfoil.change").await?;
    let is_way_back = migration.is_back();
    if is_way_back || !is_remembered {
        return Ok(!is_way_back);
    }
    let command = match migration {
        Migration::Online(migration @ Online::Balances(_)) => {
            // Not all that it makes is remembered: some is known by what it is.
            let plan = migration.plan(db, mapping, tenancy).await?;
            if plan.done_before > 0 {
                return Ok(false);
            }
            Some(migration.command())
        }
        Migration::Online(_) | Migration::All { .. } => None,
    };
    // That Stockfoil's own records were kept from others is remembered of versions too, which no migration has begun.
    let is_begun: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM stockfoil.change
                        WHERE CASE WHEN $1::text IS NULL THEN command <> 'privileges' ELSE command = $1 END)",
    )
    .bind(command)
    .fetch_one(&mut session)
    .await
    .context("look for what the migration remembers")?;
    Ok(!is_begun)
}

/// Runs the migration; whether it came to its end. What stopped it is an obstacle.
pub(super) async fn forward(
    rehearsing: &Rehearsing<'_>,
    db: &Db,
    report: &mut Rehearsal,
) -> Result<bool, Error> {
    let Rehearsing { mapping, tenancy, request, progress, .. } = *rehearsing;
    let mut unfulfilled = Vec::new();
    let done = match &request.migration {
        Migration::Online(migration) => online(rehearsing, db, migration).await,
        Migration::All { organizations, folder, is_back } => {
            let request = sequence::Request {
                folder: folder.as_deref(),
                rollback: *is_back,
                organizations: organizations.clone(),
                ..sequence::Request::default()
            };
            let done = sequence::run(db, mapping, tenancy, &request, progress).await;
            done.map(|done| {
                unfulfilled = failed_claims(&done);
                [done.organizations, done.balances].into_iter().flatten().collect()
            })
        }
    };
    let is_whole = ended(rehearsing, db, done, report, "it").await? && unfulfilled.is_empty();
    report.obstacles.extend(unfulfilled);
    Ok(is_whole)
}

/// One that runs steps; the organizations to their finalization over the way there.
async fn online(
    rehearsing: &Rehearsing<'_>,
    db: &Db,
    migration: &Online,
) -> Result<Vec<MigrationReport>, Error> {
    let Rehearsing { mapping, tenancy, progress, .. } = *rehearsing;
    let mut done = Vec::new();
    if let Online::Organizations(request) = migration
        && request.direction == Direction::Finalize
    {
        let there =
            org::Request { direction: Direction::Contract, isolates: false, until: None, ..request.clone() };
        let mut there = org::run(db, mapping, tenancy, &there, progress).await?;
        if !there.steps.is_empty() {
            there.warnings.push(format!(
                "the way there was rehearsed with it: --finalize is refused until migrate-org --contract has done {} steps",
                there.steps.len()
            ));
        }
        done.push(there);
    }
    done.push(migration.run(db, mapping, tenancy, progress).await?);
    Ok(done)
}

/// Contracts too, where an expansion alone was asked for; whether there was anything to do. It is asked for by itself, so what
/// would stop it then is a warning now.
pub(super) async fn ahead(
    rehearsing: &Rehearsing<'_>,
    db: &Db,
    report: &mut Rehearsal,
) -> Result<bool, Error> {
    let Rehearsing { mapping, tenancy, request, progress, .. } = *rehearsing;
    let organizations = match &request.migration {
        Migration::Online(Online::Organizations(request))
        | Migration::All { organizations: request, is_back: false, .. }
            if request.direction == Direction::Expand =>
        {
            request
        }
        Migration::Online(_) | Migration::All { .. } => return Ok(false),
    };
    let contract =
        org::Request { direction: Direction::Contract, until: None, plan: None, ..organizations.clone() };
    let found = match org::run(db, mapping, tenancy, &contract, progress).await {
        Ok(done) => return Ok(!done.steps.is_empty()),
        Err(Error::Migration(MigrationError::InTheWay(found))) => found,
        Err(error) => vec![stopped(rehearsing, db, &error, "--contract").await],
    };
    report.warnings.extend(
        found
            .iter()
            .map(|finding| format!("what comes after it, migrate-org --contract, would stop: {finding}")),
    );
    Ok(true)
}

/// Takes the migration back; whether that came to its end. A way back that rows have closed is no obstacle.
pub(super) async fn back(
    rehearsing: &Rehearsing<'_>,
    db: &Db,
    report: &mut Rehearsal,
) -> Result<bool, Error> {
    let Rehearsing { mapping, tenancy, request, progress, .. } = *rehearsing;
    let done = match &request.migration {
        Migration::Online(migration) => {
            migration.reversed().run(db, mapping, tenancy, progress).await.map(drop)
        }
        Migration::All { organizations, folder, is_back } => {
            let request = sequence::Request {
                folder: folder.as_deref(),
                rollback: !is_back,
                organizations: organizations.clone(),
                ..sequence::Request::default()
            };
            sequence::run(db, mapping, tenancy, &request, progress).await.map(drop)
        }
    };
    match done {
        Err(Error::Migration(MigrationError::InTheWay(found))) => {
            report
                .warnings
                .extend(found.iter().map(|finding| format!("there would be no way back: {finding}")));
            Ok(false)
        }
        // Who takes it back need not be able to go there again.
        Err(error) if request.migration.is_back() => {
            let found = stopped(rehearsing, db, &error, "the way there again").await;
            report.warnings.push(format!("there would be no way there again: {found}"));
            Ok(false)
        }
        done => ended(rehearsing, db, done.map(|()| Vec::new()), report, "its rollback").await,
    }
}

/// Takes down what was done, or what stopped it.
async fn ended(
    rehearsing: &Rehearsing<'_>,
    db: &Db,
    done: Result<Vec<MigrationReport>, Error>,
    report: &mut Rehearsal,
    what: &str,
) -> Result<bool, Error> {
    match done {
        Ok(done) => {
            // The second time it does the same.
            if report.steps.is_empty() {
                for part in done {
                    report.warnings.extend(part.warnings);
                    report.steps.extend(part.steps);
                }
            }
            Ok(true)
        }
        Err(Error::Migration(MigrationError::InTheWay(found))) => {
            report.obstacles.extend(found);
            Ok(false)
        }
        Err(error) => {
            let finding = stopped(rehearsing, db, &error, what).await;
            report.obstacles.push(finding);
            Ok(false)
        }
    }
}

/// The step that failed, with its SQL and what the server said of it.
async fn stopped(rehearsing: &Rehearsing<'_>, db: &Db, error: &Error, what: &str) -> Finding {
    let (title, words) = match error {
        Error::Db(DbError::Statement { context, cause }) => (Some(context.as_str()), all_words(cause)),
        Error::Db(DbError::Query(cause)) => (None, all_words(cause)),
        other => (None, other.to_string()),
    };
    // What a step that failed had done was taken back, so it is the first that is still to be done.
    let pending = pending(rehearsing, db).await;
    let step = pending.iter().find(|step| Some(step.title.as_str()) == title);
    let sql = step.map_or_else(String::new, |step| {
        let lines = step.sql.iter().flat_map(|sql| sql.lines());
        let words = lines.filter(|line| !line.trim_start().starts_with("--")).flat_map(str::split_whitespace);
        let sql = words.collect::<Vec<_>>().join(" ");
        format!("; SQL: {}", sql.chars().take(SQL_MAX).collect::<String>())
    });
    Finding {
        check: "rehearsal",
        object: title.map_or_else(|| format!("{what} as a whole"), str::to_owned),
        detail: format!("fails on the copy: {words}{sql}"),
        remedy: "mend what the server names, then rehearse again".to_owned(),
    }
}

async fn pending(rehearsing: &Rehearsing<'_>, db: &Db) -> Vec<StepReport> {
    let Rehearsing { mapping, tenancy, request, .. } = *rehearsing;
    let parts = match &request.migration {
        Migration::Online(migration) => vec![migration.clone()],
        Migration::All { organizations: request, .. } => {
            vec![Online::Organizations(request.clone()), Online::Balances(balance::Request::default())]
        }
    };
    let mut steps = Vec::new();
    for part in parts {
        // Of what can't be planned there is nothing to show.
        steps.extend(part.plan(db, mapping, tenancy).await.into_iter().flat_map(|report| report.steps));
    }
    steps
}

/// The claims of the migrations that do not hold on the copy, where the sequence would stop.
fn failed_claims(done: &Sequence) -> Vec<Finding> {
    let failed = |checked: &Validation| {
        let failed = checked.checks.iter().filter(|check| check.verdict == Verdict::Failed);
        failed.map(finding).collect::<Vec<_>>()
    };
    [&done.organizations_checked, &done.checked].into_iter().flatten().flat_map(failed).collect()
}

fn finding(check: &crate::validate::Check) -> Finding {
    Finding {
        check: "validation",
        object: check.object.clone(),
        detail: format!("would not hold after the migration: {}", check.evidence),
        remedy: if check.remedy.is_empty() { "mend it, then rehearse again" } else { &check.remedy }
            .to_owned(),
    }
}
