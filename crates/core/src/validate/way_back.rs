//! Whether the migrations can be taken back as the database is now.

use super::{Check, Checks, Validation, Verdict};
use crate::{
    Task,
    db::Db,
    mapping::Mapping,
    migration::{online, org},
    tenancy,
};

/// Plans both rollbacks and changes nothing: each thing that stands in their way is a failed check. What life has put on what
/// the migrations made (views, policies, foreign keys, rows of other organizations) is found as the rollbacks find it.
///
/// # Errors
/// As [`org::plan`]: where nothing is remembered of a migration that was done, nothing can be taken back.
pub fn run<'a>(db: &'a Db, mapping: &'a Mapping, tenancy: &'a tenancy::Settings) -> Task<'a, Validation> {
    Box::pin(async move {
        let mut checks = Checks::default();
        for plan in online::plan_back(db, mapping, tenancy, &org::Request::default()).await? {
            if plan.obstacles.is_empty() {
                let evidence = match plan.steps.len() {
                    0 => "nothing is there to take back".to_owned(),
                    steps => format!("{steps} steps are planned, and nothing stands in their way"),
                };
                checks.0.push(Check {
                    name: "rollback",
                    object: format!("{} --rollback", plan.command),
                    verdict: Verdict::Passed,
                    evidence,
                    remedy: String::new(),
                    accept: None,
                    identity: None,
                    is_of_release: false,
                });
            }
            checks.0.extend(plan.obstacles.into_iter().map(|obstacle| Check {
                name: obstacle.check,
                object: obstacle.object,
                verdict: Verdict::Failed,
                evidence: obstacle.detail,
                remedy: obstacle.remedy,
                accept: None,
                identity: None,
                is_of_release: false,
            }));
        }
        Ok(checks.validation(0))
    })
}
