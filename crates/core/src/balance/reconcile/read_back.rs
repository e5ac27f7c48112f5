//! What was repaired, read again.

use sqlx::PgConnection;

use super::{Row, Work, both_sides};
use crate::{Error, balance::difference::Differences};

impl Work<'_> {
    /// Compares what was repaired once more, and takes back that it was repaired where the database shows otherwise: a
    /// trigger, a rule or the type of an adopted table may keep a balance from being what was written.
    pub(super) async fn read_back(
        &mut self,
        session: &mut PgConnection,
        differences: &mut Differences,
        refused: &[(i64, String)],
    ) -> Result<(), Error> {
        let left: Vec<Row> = differences.left(session, self.model).await?;
        let mut numbers = Vec::new();
        for row in left {
            let (n, discrepancy) = both_sides(row)?;
            numbers.push(n);
            let kind = discrepancy.classify(&self.options.tolerance);
            let reason = refused.iter().find(|(number, _)| *number == n).map(|(_, reason)| reason.clone());
            self.report.not_mended(kind, discrepancy, reason);
        }
        differences.not_repaired(session, numbers).await?;
        Ok(())
    }
}
