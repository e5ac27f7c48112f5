//! Organizations that are there already, which the mapping can't take over: found so that nobody makes others beside them unawares.

use super::{
    Proposed,
    survey::{Survey, primary_key},
    words,
};
use crate::sql::QualifiedName;

/// So many tables have to refer to it by such a column.
const REFERRING: usize = 2;

/// The table that the ledger and others refer to by a column called after organizations, none of `own`.
pub(super) fn find(
    survey: &Survey<'_>,
    ledger: &QualifiedName,
    is_own: impl Fn(&QualifiedName) -> bool,
) -> Option<Proposed> {
    let referring = |parent: &QualifiedName| -> Vec<String> {
        let mut found = Vec::new();
        for table in &survey.tables {
            let key = table.foreign_keys.iter().find(|key| {
                let [column] = &key.columns[..] else { return false };
                key.table == *parent && words::has(column.as_str(), words::ORGANIZATION)
            });
            let columns = key.into_iter().flat_map(|key| &key.columns);
            found.extend(columns.map(|column| format!("{}.{}", table.name.plain(), column.as_str())));
        }
        found
    };
    let kept = survey.table(ledger)?;
    let mut parents = kept.foreign_keys.iter().filter(|key| {
        matches!(&key.columns[..], [column] if words::has(column.as_str(), words::ORGANIZATION))
            && !is_own(&key.table)
            && survey.table(&key.table).is_some_and(|table| primary_key(table).len() == 1)
    });
    parents.find_map(|key| {
        let columns = referring(&key.table);
        let is_common = columns.len() >= REFERRING;
        is_common.then(|| Proposed {
            table: key.table.plain(),
            reasons: vec![format!("{} refer to it", columns.join(", "))],
        })
    })
}
