//! A typed client, generated from the schema of the connected database.
//!
//! The same schema gives the same bytes, whatever order its objects were made in and whatever version of
//! PostgreSQL holds it, so that a client under version control can be checked.

mod names;
mod propose;
mod rust;
mod schema;

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Serialize;

use crate::{
    Failure, Task,
    db::Db,
    mapping::Mapping,
    report::{Outcome, Report},
    sql::Ident,
};
use schema::Schema;

pub use propose::{Agreement, Known, Proposal, ProposalRequest, Proposed, Readings, propose};

/// Why no client came about.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// No client is written in this language.
    #[error("no client is generated in {0:?}; give --lang rust")]
    Language(String),
    /// A check without a file to check.
    #[error("--check compares a file with the schema; give its path with --out")]
    NothingToCheck,
    /// A proposal never writes over a file.
    #[error(
        "{path} is there already, and a proposal overwrites nothing; give --out another path, or move the file away"
    )]
    FileExists {
        /// The file.
        path: String,
    },
    /// A schema that was asked for is not there.
    #[error("database {database:?} has no schema {schema:?}; correct --schema")]
    MissingSchema {
        /// The database.
        database: String,
        /// The schema.
        schema: String,
    },
    /// The schemas hold no tables.
    #[error("database {database:?} has no tables in {schemas}; run db-migrate first, or give --schema")]
    NoTables {
        /// The database.
        database: String,
        /// The schemas.
        schemas: String,
    },
    /// A name that was given is no table's.
    #[error(
        "there is no table {name:?} in {schemas}; give its name as the catalog has it, with --schema where it is elsewhere"
    )]
    NoSuchTable {
        /// The name.
        name: String,
        /// The schemas that were looked at.
        schemas: String,
    },
    /// An organization's id has a type that identifies nothing.
    #[error("column {column} is {declared}; an organization's id is text, uuid or an integer")]
    OrgType {
        /// Table and column.
        column: String,
        /// Its type.
        declared: String,
    },
    /// Two columns that hold an organization's id differ in type.
    #[error(
        "column {column} is {declared}, another type than {of}; one column name can't mean two kinds of organization, so rename or convert one"
    )]
    OrgTypes {
        /// Table and column.
        column: String,
        /// Its type.
        declared: String,
        /// The column that it differs from.
        of: String,
    },
    /// Two names can't be told apart in the language.
    #[error("among the {what}, {name:?} would share the name {rust} with another; rename it")]
    SameName {
        /// Where the names stand.
        what: String,
        /// The name in the database.
        name: String,
        /// The name in Rust.
        rust: String,
    },
    /// The client's file can't be read or written.
    #[error("{path} can't be {verb}: {source}; check the path and its permissions")]
    File {
        /// The file.
        path: String,
        /// What was to be done.
        verb: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
}

impl GenerateError {
    /// Which exit status this error asks for.
    pub fn failure(&self) -> Failure {
        match self {
            GenerateError::Language(_)
            | GenerateError::NothingToCheck
            | GenerateError::FileExists { .. }
            | GenerateError::MissingSchema { .. }
            | GenerateError::NoSuchTable { .. } => Failure::Usage,
            _ => Failure::Work,
        }
    }
}

/// A language that clients are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Rust over sqlx.
    Rust,
}

impl FromStr for Language {
    type Err = GenerateError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "rust" => Ok(Self::Rust),
            _ => Err(GenerateError::Language(name.to_owned())),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Language::Rust => f.pad("rust"),
        }
    }
}

/// What to generate and where it goes; checked before anything is read.
#[derive(Debug, Clone)]
pub struct Request {
    language: Language,
    schemas: Vec<Ident>,
    destination: Destination,
}

#[derive(Debug, Clone)]
enum Destination {
    Caller,
    Write(PathBuf),
    Check(PathBuf),
}

impl Request {
    /// A client in `language` of the tables in `schemas` (none: the application's and Stockfoil's). With `out` it
    /// is written there, or compared with what is there if `check`; without, it is in the report.
    ///
    /// # Errors
    /// [`GenerateError::NothingToCheck`], and names that can't be a schema's.
    pub fn new(
        language: Language,
        schemas: &[String],
        out: Option<PathBuf>,
        check: bool,
    ) -> Result<Self, crate::Error> {
        let destination = match (out, check) {
            (None, true) => return Err(GenerateError::NothingToCheck.into()),
            (None, false) => Destination::Caller,
            (Some(path), false) => Destination::Write(path),
            (Some(path), true) => Destination::Check(path),
        };
        let schemas = schemas.iter().map(Ident::new).collect::<Result<_, _>>()?;
        Ok(Self { language, schemas, destination })
    }
}

/// What became of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is in the report.
    Returned,
    /// The file was written.
    Written,
    /// The file is what would be written.
    Current,
    /// The file is not what would be written.
    Stale,
    /// There is no such file.
    Missing,
}

/// A generated client.
#[derive(Debug, Serialize)]
pub struct Generated {
    /// The language.
    pub language: Language,
    /// The schemas that it covers.
    pub schemas: Vec<String>,
    /// How many tables it has.
    pub tables: usize,
    /// How many enums it has.
    pub enums: usize,
    /// What became of it.
    pub state: State,
    /// Its file.
    pub path: Option<PathBuf>,
    /// The first line, counted from 1, in which a stale file differs.
    pub first_difference: Option<usize>,
    /// Its text, where it has no file.
    pub source: Option<String>,
}

impl Report for Generated {
    const SCHEMA: &'static str = "stockfoil.generate/1";

    fn outcome(&self) -> Outcome {
        match self.state {
            State::Returned | State::Written | State::Current => Outcome::Clean,
            State::Stale | State::Missing => Outcome::Findings,
        }
    }
}

/// Generates a client from the schema of `db`, and writes or checks its file.
///
/// The file is written beside its place and renamed, and left untouched when it is current already.
pub fn generate<'a>(db: &'a Db, mapping: &'a Mapping, request: &'a Request) -> Task<'a, Generated> {
    Box::pin(async move {
        let schemas = schemas(db, mapping, &request.schemas).await?;
        let schema = Schema::read(db, mapping, &schemas).await?;
        let names: Vec<String> = schemas.iter().map(|schema| schema.as_str().to_owned()).collect();
        if schema.tables.is_empty() {
            let database = db.facts().database.clone();
            return Err(GenerateError::NoTables { database, schemas: names.join(", ") }.into());
        }
        let source = match request.language {
            Language::Rust => rust::client(&schema)?,
        };
        let mut generated = Generated {
            language: request.language,
            schemas: names,
            tables: schema.tables.len(),
            enums: schema.enums.len(),
            state: State::Returned,
            path: None,
            first_difference: None,
            source: None,
        };
        match &request.destination {
            Destination::Caller => generated.source = Some(source),
            Destination::Write(path) => {
                generated.path = Some(path.clone());
                if read(path)?.is_some_and(|old| old == source.as_bytes()) {
                    generated.state = State::Current;
                } else {
                    write(path, &source)?;
                    generated.state = State::Written;
                }
            }
            Destination::Check(path) => {
                generated.path = Some(path.clone());
                let old = read(path)?;
                generated.first_difference = old.as_deref().and_then(|old| difference(old, &source));
                generated.state = match (&old, generated.first_difference) {
                    (None, _) => State::Missing,
                    (Some(_), Some(_)) => State::Stale,
                    (Some(_), None) => State::Current,
                };
            }
        }
        Ok(generated)
    })
}

/// The schemas to read: those asked for, which must be there, or the application's and Stockfoil's own.
async fn schemas(db: &Db, mapping: &Mapping, asked: &[Ident]) -> Result<Vec<Ident>, crate::Error> {
    match asked {
        [] => {
            let mut schemas = mapping.schemas();
            schemas.push(Ident::fixed("stockfoil"));
            Ok(schemas)
        }
        asked => existing(db, asked).await,
    }
}

/// The schemas asked for by name, each once.
async fn existing(db: &Db, asked: &[Ident]) -> Result<Vec<Ident>, crate::Error> {
    let mut schemas = asked.to_vec();
    schemas.sort();
    schemas.dedup();
    for schema in &schemas {
        let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
            .bind(schema.as_str())
            .fetch_one(db.pool())
            .await?;
        if !there {
            let database = db.facts().database.clone();
            let schema = schema.as_str().to_owned();
            return Err(GenerateError::MissingSchema { database, schema }.into());
        }
    }
    Ok(schemas)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, GenerateError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(GenerateError::File { path: path.display().to_string(), verb: "read", source }),
    }
}

fn write(path: &Path, source: &str) -> Result<(), GenerateError> {
    replace(path, source).map_err(|source| GenerateError::File {
        path: path.display().to_string(),
        verb: "written",
        source,
    })
}

fn replace(path: &Path, source: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // A link stays a link, and a file keeps its permissions; a new one has the usual ones.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let permissions =
        fs::metadata(&path).map_or_else(|_| fs::Permissions::from_mode(0o666), |old| old.permissions());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
    file.write_all(source.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The first line, counted from 1, in which the two differ.
fn difference(old: &[u8], new: &str) -> Option<usize> {
    if old == new.as_bytes() {
        return None;
    }
    let lines = |text| <[u8]>::split(text, |byte| *byte == b'\n');
    let same = lines(old).zip(lines(new.as_bytes())).take_while(|(old, new)| old == new).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_line_is_named() {
        assert_eq!(difference(b"a\nb\n", "a\nb\n"), None);
        assert_eq!(difference(b"a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(difference(b"a\n", "a\nb\n"), Some(2));
        assert_eq!(difference(b"", "a\n"), Some(1));
        assert_eq!(difference(b"a\n\xff\n", "a\n"), Some(2));
    }
}
