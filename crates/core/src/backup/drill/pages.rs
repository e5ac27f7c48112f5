//! Reading every page of a restored cluster, and looking for each row in its indexes.

use std::{collections::BTreeSet, ffi::OsString};

use super::Drilled;
use crate::{
    Error,
    backup::{Finding, first_of, reading::Reader},
    db::Db,
    throwaway::Cluster,
};

/// How many damaged relations are named.
const NAMED_MAX: usize = 5;

/// The indexes in `db` whose order is another one here, as pg_amcheck calls them: `stock.public.items_name_idx`.
///
/// # Errors
/// When the database refuses.
pub(super) async fn stale(db: &Db) -> Result<Vec<String>, Error> {
    let mut session = db.session().await?;
    Ok(sqlx::query_scalar(include_str!("pages/stale.sql")).fetch_all(&mut session).await?)
}

/// Reads every page of every table and index, and looks for each row in its indexes. What is wrong with indexes that are
/// `stale` is of this machine, and mended by building them anew.
pub(super) async fn check(
    reader: &Reader<'_>,
    server: &Cluster<'_>,
    stale: &BTreeSet<String>,
    drilled: &mut Drilled,
) -> Result<(), Finding> {
    let mut args: Vec<OsString> = [
        "--all",
        "--install-missing",
        "--heapallindexed",
        "--no-password",
        "--username",
        &server.superuser(),
    ]
    .map(OsString::from)
    .into();
    args.extend(["--host".into(), server.socket().into()]);
    let pg_amcheck = server.program("pg_amcheck").within(reader.config.backup.timeout);
    let ran = pg_amcheck.text(args, reader.progress).await?;
    let said = ran.output.as_ref().map_or("", String::as_str);
    // Corruption goes to standard output, what kept it from looking to standard error.
    let said: Vec<&str> = said.lines().filter(|line| !line.starts_with(' ')).collect();
    let is_stale = |line: &&str| stale.iter().any(|index| line.contains(&format!("index \"{index}\"")));
    let (of_order, damaged): (Vec<&str>, Vec<&str>) = said.iter().copied().partition(is_stale);
    drilled.notes.extend(stale_note(stale));
    if !of_order.is_empty() {
        let text = format!(
            "{} indexes are not in the order of this machine's collations: rebuild them where the backup is restored (REINDEX): {}",
            of_order.len(),
            named(&of_order)
        );
        drilled.findings.push(Finding::warning("pages", text));
    }
    match (damaged.as_slice(), ran.complaint()) {
        ([], None) => {
            drilled.notes.push("every row was found in its indexes (pg_amcheck --heapallindexed)".into());
        }
        ([], Some(_)) if !of_order.is_empty() => {}
        ([], Some(complaint)) => {
            let text =
                format!("pg_amcheck could not look: {complaint}; install PostgreSQL's contrib modules");
            drilled.findings.push(Finding::unknown("pages", text));
        }
        (damaged, _) => {
            let text = format!("{} damaged tables or indexes: {}", damaged.len(), named(damaged));
            drilled.findings.push(Finding::critical("pages", text));
        }
    }
    Ok(())
}

fn stale_note(stale: &BTreeSet<String>) -> Option<String> {
    let stale: Vec<&String> = stale.iter().collect();
    (!stale.is_empty()).then(|| {
        format!(
            "this machine's collations are of another version than those that the backup was made under; where they are on the machine that it is restored on, rebuild these indexes (REINDEX): {}",
            first_of(&stale, NAMED_MAX)
        )
    })
}

fn named(lines: &[&str]) -> String {
    lines.iter().take(NAMED_MAX).map(|line| line.trim()).collect::<Vec<_>>().join("; ")
}
