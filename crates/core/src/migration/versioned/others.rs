//! What other tools ran, by their own records: files of plain SQL are sqlx's and theirs alike, and what was run once is
//! not run again. Such tables are known by their names and told by what they hold.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use crate::{
    Error,
    db::{Context as _, sqlstate},
    migration::error::MigrationError,
    sql::{Ident, List, QualifiedName, render},
};

/// A table of more rows is no history.
const ROWS_MAX: usize = 20_000;

/// Of a wider table only so many columns are looked at.
const COLUMNS_MAX: usize = 24;

/// From here on a version is a time stamp, which nobody has by chance.
const STAMP_MIN: i64 = 10_000_000;

/// A lone number is a head where the files from 1 up to it are there, and are not fewer.
const HEAD_MIN: i64 = 3;

/// What may stand behind a file's name.
const SUFFIXES: [&str; 18] = [
    "sql", "up", "down", "do", "js", "ts", "mjs", "cjs", "py", "rb", "php", "go", "cs", "java", "xml",
    "yaml", "yml", "json",
];

/// Another tool's table.
#[derive(Debug)]
struct History {
    name: String,
    columns: Vec<String>,
    /// Whether its name or a column shows that it is a tool's.
    is_tools: bool,
    rows: Vec<Vec<Option<String>>>,
}

/// A file of the folder.
#[derive(Debug)]
struct File {
    version: i64,
    /// Its name as all tools would write it, and without its version.
    normal: String,
    bare: String,
}

/// A table that may be a history.
#[derive(Debug, sqlx::FromRow)]
struct Candidate {
    schema: String,
    table: String,
    columns: Vec<String>,
    has_mark: bool,
    /// What lets this role read it; nothing where it may.
    grants: Vec<String>,
    /// Whether the pending files may be meant for its schema.
    is_near: bool,
}

/// What is known of other tools.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// Why the pending files are not to be run.
    pub(super) obstacle: Option<MigrationError>,
    /// What was not looked at, and is likely another application's.
    pub(super) warnings: Vec<String>,
}

/// Whether another tool notes that it ran one of the pending files, given by their versions and names. Where this role
/// can't read what such a tool may have noted, nobody knows.
///
/// # Errors
/// Database errors.
pub(super) async fn look(session: &mut PgConnection, pending: &BTreeMap<i64, &str>) -> Result<Others, Error> {
    let mut others = Others::default();
    if pending.is_empty() {
        return Ok(others);
    }
    let files: Vec<File> = pending.iter().map(|(version, name)| File::new(*version, name)).collect();
    let mut ran = BTreeSet::new();
    let (mut tables, mut unfinished, mut closed) = (Vec::new(), String::new(), Vec::new());
    let candidates: Vec<Candidate> = sqlx::query_as(include_str!("histories.sql"))
        .fetch_all(&mut *session)
        .await
        .context("look for what other tools ran")?;
    for candidate in candidates {
        if !candidate.grants.is_empty() {
            closed.push(candidate);
            continue;
        }
        let history = read(session, &candidate).await?;
        let Some(history) = history else { continue };
        let found = history.ran(&files);
        if found.is_empty() {
            continue;
        }
        if let Some(version) = history.dirty() {
            unfinished = format!(" and that it did not end {version} (dirty: look at what is there of it)");
        }
        ran.extend(found);
        tables.push(history.name);
    }
    let (near, far): (Vec<Candidate>, Vec<Candidate>) =
        closed.into_iter().partition(|candidate| candidate.is_near);
    others.warnings = far.iter().map(Candidate::warning).collect();
    others.obstacle = match (ran.is_empty(), near.is_empty()) {
        (false, _) => Some(run_by_others(pending, &ran, &tables, unfinished)),
        (true, false) => Some(unread(&near)),
        (true, true) => None,
    };
    Ok(others)
}

fn run_by_others(
    pending: &BTreeMap<i64, &str>,
    ran: &BTreeSet<i64>,
    tables: &[String],
    unfinished: String,
) -> MigrationError {
    let stem = |version: &i64| {
        pending.get(version).map(|name| name.trim_end_matches(".sql").trim_end_matches(".up"))
    };
    let names: Vec<&str> = ran.iter().filter_map(stem).collect();
    let flags: Vec<String> = ran.iter().map(|version| format!("--baseline {version}")).collect();
    MigrationError::RunByOthers {
        tables: tables.join(", "),
        files: names.join(", "),
        unfinished,
        flags: flags.join(" "),
    }
}

fn unread(near: &[Candidate]) -> MigrationError {
    let tables: Vec<String> = near.iter().map(Candidate::name).collect();
    let grants: Vec<&str> = near.iter().flat_map(|candidate| &candidate.grants).map(String::as_str).collect();
    MigrationError::UnreadRecords { tables: tables.join(", "), next: grants.join("; ") }
}

impl Candidate {
    fn name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    fn warning(&self) -> String {
        format!(
            "this role can't read all of {}, so whether another tool noted there that it ran these files was not looked at; if its files are these: {}",
            self.name(),
            self.grants.join("; ")
        )
    }
}

/// The rows of a table that may be a history; nothing where it has too many, or is gone.
async fn read(session: &mut PgConnection, candidate: &Candidate) -> Result<Option<History>, Error> {
    let columns: Vec<String> = candidate.columns.iter().take(COLUMNS_MAX).cloned().collect();
    let is_tools = candidate.has_mark || candidate.table.to_lowercase().contains("migration");
    let table = QualifiedName::new(Ident::new(&candidate.schema)?, Ident::new(&candidate.table)?);
    let mut values = Vec::new();
    for column in &columns {
        values.push(render("left({column}::text, 300)", &[("column", &Ident::new(column.as_str())?)]));
    }
    let statement = render(
        "SELECT ARRAY[{values}] FROM {table} LIMIT 20001",
        &[("values", &List(values)), ("table", &table)],
    );
    let rows = match sqlx::query_scalar(statement.sql()).fetch_all(&mut *session).await {
        Err(error) if sqlstate(&error).as_deref() == Some("42P01") => return Ok(None),
        rows => rows.context(format!("look for what other tools ran in {}", table.plain()))?,
    };
    let history = History { name: table.plain(), columns, is_tools, rows };
    Ok((history.rows.len() <= ROWS_MAX).then_some(history))
}

impl History {
    fn ran(&self, files: &[File]) -> BTreeSet<i64> {
        let up_to = |head: i64| files.iter().map(|file| file.version).filter(move |version| *version <= head);
        if self.columns.iter().any(|column| column == "dirty") {
            // golang-migrate notes the last one alone.
            return self.heads().max().map(|head| up_to(head).collect()).unwrap_or_default();
        }
        let mut ran: BTreeSet<i64> = BTreeSet::new();
        for row in &self.rows {
            let values: Vec<Value> = self.columns.iter().zip(row).filter_map(Value::new).collect();
            ran.extend(files.iter().filter(|file| self.names(&values, file)).map(|file| file.version));
        }
        // tern notes the last one alone too, and nothing shows that its table is a tool's.
        let heads: Vec<i64> = self.heads().collect();
        if let [head] = *heads
            && !self.is_tools
            && self.rows.len() == 1
            && head >= HEAD_MIN
            && i64::try_from(up_to(head).filter(|version| *version >= 1).count()) == Ok(head)
        {
            ran.extend(up_to(head));
        }
        ran
    }

    /// Whether a row with these values is the record of `file`.
    fn names(&self, values: &[Value], file: &File) -> bool {
        let is_named =
            values.iter().any(|value| value.normal == file.normal || value.has_stamp(file.version));
        let has_number = values.iter().any(|value| value.number == Some(file.version));
        let has_version = values.iter().any(|value| value.is_version && value.number == Some(file.version));
        let is_bare = values.iter().any(|value| value.number.is_none() && value.normal == file.bare)
            && !file.bare.is_empty();
        let has_numbers = values.iter().any(|value| value.number.is_some());
        // A number alone may count anything.
        is_named || (has_version && self.is_tools) || (is_bare && (has_number || !has_numbers))
    }

    /// The numbers in the columns of versions.
    fn heads(&self) -> impl Iterator<Item = i64> {
        let values = self.rows.iter().flat_map(|row| self.columns.iter().zip(row));
        values.filter_map(Value::new).filter(|value| value.is_version).filter_map(|value| value.number)
    }

    /// The version that its tool began and did not end.
    fn dirty(&self) -> Option<i64> {
        let at = self.columns.iter().position(|column| column == "dirty")?;
        let is_dirty =
            |row: &&Vec<Option<String>>| row.get(at).is_some_and(|value| value.as_deref() == Some("true"));
        self.rows.iter().find(is_dirty)?;
        self.heads().max()
    }
}

/// A value of a record.
#[derive(Debug)]
struct Value {
    text: String,
    normal: String,
    number: Option<i64>,
    /// Whether its column is of versions.
    is_version: bool,
}

impl Value {
    fn new((column, value): (&String, &Option<String>)) -> Option<Value> {
        let text = value.as_deref()?.trim().to_lowercase();
        let column = column.to_lowercase();
        let is_version = column.contains("version")
            || column.contains("revision")
            || matches!(&*column, "migration" | "migration_id" | "number" | "num");
        let number = Some(&text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(|text| text.parse().ok());
        Some(Value { normal: normal(&text), number, is_version, text })
    }

    /// Whether the time stamp `version` stands in it, also in the parts of a date.
    fn has_stamp(&self, version: i64) -> bool {
        if version < STAMP_MIN {
            return false;
        }
        let version = version.to_string();
        let front = self.text.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '_' | '-'));
        let joined: String = front.filter(char::is_ascii_digit).collect();
        joined == version || self.text.split(|c: char| !c.is_ascii_digit()).any(|run| run == version)
    }
}

impl File {
    fn new(version: i64, name: &str) -> File {
        let normal = normal(name);
        let bare = normal.split_once('_').map_or_else(String::new, |(_, bare)| bare.to_owned());
        File { version, normal, bare }
    }
}

/// A file's name without its folder, direction, suffixes and leading zeros, and with one sign between its words.
fn normal(name: &str) -> String {
    let lower = name.to_lowercase();
    let mut name = lower.rsplit(['/', '\\']).next().unwrap_or_default();
    while let Some((front, _)) = name.rsplit_once('.').filter(|(_, last)| SUFFIXES.contains(last)) {
        name = front;
    }
    let words: Vec<&str> =
        name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let joined = words.join("_");
    let joined = joined.strip_suffix("_up").unwrap_or(&joined);
    let versioned = joined.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    versioned.unwrap_or(joined).trim_start_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(columns: &[&str], rows: &[&[&str]], is_tools: bool) -> Vec<i64> {
        let files = [File::new(1, "0001_a.sql"), File::new(2, "0002_b.up.sql"), File::new(3, "0003_c.sql")];
        let history = History {
            name: "x".into(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            is_tools,
            rows: rows
                .iter()
                .map(|row| row.iter().map(|value| Some((*value).to_owned())).collect())
                .collect(),
        };
        history.ran(&files).into_iter().collect()
    }

    #[test]
    fn a_number_alone_counts_only_as_the_head_of_what_is_there() {
        assert_eq!(ran(&["version"], &[&["1"]], false), [0; 0]);
        assert_eq!(ran(&["version"], &[&["3"]], false), [1, 2, 3]);
        assert_eq!(ran(&["version"], &[&["4"]], false), [0; 0]);
        assert_eq!(ran(&["version"], &[&["1"], &["3"]], true), [1, 3]);
        assert_eq!(ran(&["id", "name"], &[&["1", "z"], &["2", "b"]], true), [2]);
    }

    #[test]
    fn names_are_one_whatever_the_tool() {
        for name in ["1_a", "V1__a.sql", "db/0001-a.up.sql", "0001_a_up.sql", "1_A.js"] {
            assert_eq!(normal(name), "1_a", "{name}");
        }
    }
}
