//! A proposal held against the catalog, as every command does that is given it: what would be refused then is not proposed.

use super::{Draft, survey::Survey, text};
use crate::{Error, Failure, db::Db, mapping::Mapping};

/// What the check of a configuration says.
pub(super) enum Proof {
    Holds,
    /// With the reason.
    Refused(String),
    /// It could not be made, with the reason.
    Unchecked(String),
}

/// The text of `draft`, proven. A table of balances that would be refused is not adopted, and the reason is told in its place.
pub(super) async fn proven(
    db: &Db,
    survey: &Survey<'_>,
    draft: &mut Draft,
) -> Result<(String, Option<String>), Error> {
    let written = |draft: &Draft| text::write(&db.facts().database, survey, draft);
    let mut source = written(draft);
    let mut proof = prove(db, draft, &source).await?;
    if let Proof::Refused(reason) = &proof
        && let Some(balances) = draft.balances.take()
    {
        draft.no_balances.push(format!("{}: {reason}", balances.table.plain()));
        let without = written(draft);
        match prove(db, draft, &without).await? {
            Proof::Refused(_) => {
                draft.no_balances.pop();
                draft.balances = Some(balances);
            }
            better => (source, proof) = (without, better),
        }
    }
    match proof {
        Proof::Holds => Ok((source, None)),
        Proof::Refused(reason) => Ok((
            format!("# EVERY COMMAND WOULD REFUSE THIS: {}\n{source}", text::one_line(&reason)),
            Some(reason),
        )),
        Proof::Unchecked(reason) => {
            Ok((format!("# Not held against the catalog yet: {}\n{source}", text::one_line(&reason)), None))
        }
    }
}

async fn prove(db: &Db, draft: &Draft, source: &str) -> Result<Proof, Error> {
    // There is nothing to hold against anything.
    if draft.ledger.is_none() {
        return Ok(Proof::Holds);
    }
    let mapping = Mapping::parse(source).map_err(Error::from);
    let resolved = match mapping {
        Ok(mapping) => mapping.resolve(db).await.map(drop),
        Err(error) => Err(error),
    };
    Ok(match resolved {
        Ok(()) => Proof::Holds,
        Err(error) if error.failure() == Failure::Usage => Proof::Refused(error.to_string()),
        Err(error) => Proof::Unchecked(error.to_string()),
    })
}
