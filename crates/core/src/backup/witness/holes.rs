//! Pages of zeros in the tables of a base backup: whether production has rows where they are.
//!
//! Such a page has no checksum. A server leaves some itself, where it made room that nobody used yet; so whether anything
//! is missing can only be told by what lies there in production.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

use super::{NAMED_MAX, STATEMENT_TIMEOUT, TRANSACTION_MAX, plain};
use crate::{
    Error,
    backup::{
        Backup, Finding, figures, first_of,
        reading::{Hole, Holes, Reader},
    },
    db::Db,
    sql::{Ident, QualifiedName, render},
};

/// So many stretches of pages are asked for.
const RUNS_MAX: usize = 50;

/// Pages of one file, one behind the other.
#[derive(Debug, PartialEq, Eq)]
struct Run<'a> {
    file: &'a str,
    first: u32,
    last: u32,
}

/// What production has where the holes are.
#[derive(Debug, Default)]
struct Asked {
    /// Where rows are that were there before, each with how many of which table.
    lost: Vec<String>,
    /// Where some may have come since.
    doubtful: Vec<String>,
    /// Where there is nothing.
    empty: usize,
    /// What could not be asked, each with why.
    unheard: Vec<String>,
}

/// What the `holes` of `backup` are worth; `is_copy` says that a manifest proves all to be as it was in the cluster.
pub(in crate::backup) async fn judge(
    reader: &Reader<'_>,
    backup: &Backup,
    holes: &Holes,
    is_copy: bool,
) -> (Vec<Finding>, Vec<String>) {
    if holes.pages.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let runs = runs(&holes.pages);
    let asked = match reader.production {
        None => Err("no database is configured, or it does not answer".to_owned()),
        Some(db) => ask(db, backup, holes, &runs).await.unwrap_or_else(|error| Err(error.to_string())),
    };
    let asked = asked.unwrap_or_else(|reason| {
        let unheard = runs.iter().map(|run| format!("{} ({reason})", run.text())).collect();
        Asked { unheard, ..Asked::default() }
    });
    tell(&asked, is_copy)
}

fn tell(asked: &Asked, is_copy: bool) -> (Vec<Finding>, Vec<String>) {
    let (mut findings, mut notes) = (Vec::new(), Vec::new());
    let zeros = |of: &[String]| format!("has pages of zeros in tables: {}", first_of(of, NAMED_MAX));
    if !asked.lost.is_empty() {
        let text = format!("{}; these rows are lost in it", zeros(&asked.lost));
        findings.push(Finding::critical("production", text));
    }
    if !asked.doubtful.is_empty() {
        let text = format!("{}; these rows are lost in it, or came there since", zeros(&asked.doubtful));
        findings.push(Finding::warning("production", text));
    }
    if asked.empty > 0 {
        notes.push(format!("production has no rows either where {} pages of tables are zeros", asked.empty));
    }
    if !asked.unheard.is_empty() {
        let text = format!(
            "{}, before pages that are older than the backup: they were never used, or what was in them is lost; production was not asked",
            zeros(&asked.unheard)
        );
        if is_copy {
            notes.push(text);
        } else {
            findings.push(Finding::warning("pages", text));
        }
    }
    (findings, notes)
}

impl Run<'_> {
    fn text(&self) -> String {
        match self.last - self.first {
            0 => format!("page {} in {}", self.first, self.file),
            _ => format!("pages {} to {} in {}", self.first, self.last, self.file),
        }
    }

    /// The numbers of its tablespace (0: the database's own), its file and its database; none of what all databases share.
    fn numbers(&self) -> Option<(u32, u32, u32)> {
        let parts: Vec<&str> = self.file.split('/').collect();
        let (space, database, file) = match parts[..] {
            ["base", database, file] => ("0", database, file),
            ["pg_tblspc", space, _, database, file] => (space, database, file),
            _ => return None,
        };
        let file = file.split('.').next()?;
        Some((space.parse().ok()?, file.parse().ok()?, database.parse().ok()?))
    }
}

fn runs(holes: &[Hole]) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for Hole { file, page } in holes {
        match runs.last_mut() {
            Some(run) if run.file == file && run.last + 1 == *page => run.last = *page,
            _ => runs.push(Run { file, first: *page, last: *page }),
        }
    }
    runs
}

async fn ask(
    db: &Db,
    backup: &Backup,
    holes: &Holes,
    runs: &[Run<'_>],
) -> Result<Result<Asked, String>, Error> {
    let mut session = db.session().await?;
    sqlx::query(STATEMENT_TIMEOUT).execute(&mut session).await?;
    let system = figures::system_identifier(&mut session).await?;
    if system.is_none() || system != holes.system.map(|system| system.to_string()) {
        return Ok(Err("it is another cluster, or does not tell which it is".to_owned()));
    }
    let before = backup.started_at - TRANSACTION_MAX;
    let mut asked = Asked::default();
    for run in runs.iter().take(RUNS_MAX) {
        let (text, pages) = (run.text(), (run.last - run.first + 1) as usize);
        match rows(&mut session, run, holes, before).await {
            Ok(None) => {
                asked.unheard.push(format!("{text} (of another database, or its table was written anew)"));
            }
            Ok(Some(Rows { count: 0, .. })) => asked.empty += pages,
            Ok(Some(Rows { table, count, older })) => {
                // What a later checkpoint knows may have come while the backup was made, unless its time is from before.
                let sure = if holes.is_exact && holes.ended_before.is_some() { count } else { older };
                let (to, count) =
                    if sure > 0 { (&mut asked.lost, sure) } else { (&mut asked.doubtful, count) };
                to.push(format!("{text}, where production has {count} rows of {table}"));
            }
            Err(error) => asked.unheard.push(format!("{text} ({error})")),
        }
    }
    let more = runs.iter().skip(RUNS_MAX).map(|run| format!("{} (too many)", run.text()));
    asked.unheard.extend(more);
    Ok(Ok(asked))
}

/// What production has in some pages.
struct Rows {
    table: String,
    /// The rows of transactions that the backup's checkpoint knows to have ended.
    count: u64,
    /// Those of them that say themselves that they are from before the backup.
    older: u64,
}

/// What production has where `run` is; none where it knows no such table.
async fn rows(
    session: &mut PgConnection,
    run: &Run<'_>,
    holes: &Holes,
    before: DateTime<Utc>,
) -> Result<Option<Rows>, Error> {
    let Some((space, file, database)) = run.numbers() else { return Ok(None) };
    let relation: Option<(String, String)> = sqlx::query_as(include_str!("relation.sql"))
        .bind(Oid(space))
        .bind(Oid(file))
        .bind(Oid(database))
        .fetch_optional(&mut *session)
        .await?;
    let Some((schema, name)) = relation else { return Ok(None) };
    let table = QualifiedName::new(Ident::new(schema.clone())?, Ident::new(name.clone())?);
    let statement = render(include_str!("page_rows.sql"), &[("table", &table)]);
    let (count, older): (i64, i64) = sqlx::query_as(statement.sql())
        .bind(format!("({},0)", run.first))
        .bind(format!("({},0)", u64::from(run.last) + 1))
        .bind(i64::from(holes.ended_before.unwrap_or_default()))
        .bind(before)
        .fetch_one(session)
        .await?;
    let (count, older) = (count.unsigned_abs(), older.unsigned_abs());
    Ok(Some(Rows { table: plain(&(schema, name)), count, older }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_together_and_tell_their_table() {
        let hole = |file: &str, page| Hole { file: file.to_owned(), page };
        let holes = [
            hole("base/5/16384", 3),
            hole("base/5/16384", 4),
            hole("base/5/16384.1", 131_072),
            hole("pg_tblspc/900/PG_15_202209061/5/77", 1),
            hole("global/1260", 1),
        ];
        let runs = runs(&holes);
        let texts: Vec<String> = runs.iter().map(Run::text).collect();
        assert_eq!(texts[0], "pages 3 to 4 in base/5/16384");
        assert_eq!(texts[1], "page 131072 in base/5/16384.1");
        let numbers: Vec<_> = runs.iter().map(Run::numbers).collect();
        assert_eq!(numbers, [Some((0, 16384, 5)), Some((0, 16384, 5)), Some((900, 77, 5)), None]);
    }

    #[test]
    fn what_nobody_tells_of_is_worth_a_look_unless_a_manifest_tells_that_it_was_so() {
        let asked = Asked { unheard: vec!["page 1 in base/5/9 (no)".to_owned()], ..Asked::default() };
        let (findings, notes) = tell(&asked, false);
        assert_eq!((findings.len(), notes.len()), (1, 0));
        let (findings, notes) = tell(&asked, true);
        assert_eq!((findings.len(), notes.len()), (0, 1));
    }
}
