//! Whether the migrations can be taken back as the database is now.

use super::{Check, Checks, Validation, Verdict};
use crate::{
    Task,
    db::Db,
    mapping::Mapping,
    migration::{
        balance,
        online::Online,
        org::{self, Direction},
    },
    tenancy,
};

/// Plans both rollbacks and changes nothing: each thing that stands in their way is a failed check. What life has put on what
/// the migrations made (views, policies, foreign keys, rows of other organizations) is found as the rollbacks find it.
///
/// # Errors
/// As [`Online::plan`]: where nothing is remembered of a migration that was done, nothing can be taken back.
pub fn run<'a>(db: &'a Db, mapping: &'a Mapping, tenancy: &'a tenancy::Settings) -> Task<'a, Validation> {
    Box::pin(async move {
        let organizations = org::Request { direction: Direction::Rollback, ..org::Request::default() };
        let balances = balance::Request { rollback: true, ..balance::Request::default() };
        let mut checks = Checks::default();
        for migration in [Online::Balances(balances), Online::Organizations(organizations)] {
            let plan = migration.plan(db, mapping, tenancy).await?;
            // The balances go first, and are looked at by their own plan.
            let obstacles: Vec<_> =
                plan.obstacles.into_iter().filter(|obstacle| obstacle.check != "balances").collect();
            if obstacles.is_empty() {
                let evidence = match plan.steps.len() {
                    0 => "nothing is there to take back".to_owned(),
                    steps => format!("{steps} steps are planned, and nothing stands in their way"),
                };
                checks.0.push(Check {
                    name: "rollback",
                    object: format!("{} --rollback", migration.command()),
                    verdict: Verdict::Passed,
                    evidence,
                    remedy: String::new(),
                    is_of_release: false,
                });
            }
            checks.0.extend(obstacles.into_iter().map(|obstacle| Check {
                name: obstacle.check,
                object: obstacle.object,
                verdict: Verdict::Failed,
                evidence: obstacle.detail,
                remedy: obstacle.remedy,
                is_of_release: false,
            }));
        }
        Ok(checks.validation(0))
    })
}
