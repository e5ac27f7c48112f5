//! What the migrations remember of the schema as it was, in `stockfoil.change`, so that it can be put back exactly.
//!
//! Whether a step is done is asked of the catalog, never of this memory. It says what the catalog can't: whether a
//! column was there before, how a key that is gone was made.

use serde::Deserialize;
use sqlx::PgConnection;

use super::step::{Goal, Lock, Step};
use crate::{
    catalog::{self, Timing},
    db::{Context as _, DbError},
    rows::stockfoil::change::Row,
    sql::{Fixed, Fragment, Ident, Literal, NameError, QualifiedName, Statement, render},
};

/// The command that makes organizations: its report names it so, and `stockfoil.change` remembers its changes by it.
pub(super) const MIGRATE_ORG: &str = "migrate-org";

/// What a row of `stockfoil.change` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A table, made.
    Table,
    /// A column, added or altered.
    Column,
    /// A foreign key, added or validated.
    ForeignKey,
    /// An index, with its constraint where it has one, made.
    Index,
    /// A unique key, dropped.
    UniqueKey,
    /// A role, made.
    Role,
    /// A role's rights on a table, a sequence or a schema.
    Grant,
    /// Row-level security of a table.
    Policy,
    /// A function, given to another owner.
    Function,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Table => "table",
            Kind::Column => "column",
            Kind::ForeignKey => "foreign_key",
            Kind::Index => "index",
            Kind::UniqueKey => "unique_key",
            Kind::Role => "role",
            Kind::Grant => "grant",
            Kind::Policy => "policy",
            Kind::Function => "function",
        }
    }

    fn from_str(kind: &str) -> Option<Self> {
        const ALL: [Kind; 9] = [
            Kind::Table,
            Kind::Column,
            Kind::ForeignKey,
            Kind::Index,
            Kind::UniqueKey,
            Kind::Role,
            Kind::Grant,
            Kind::Policy,
            Kind::Function,
        ];
        ALL.into_iter().find(|known| known.as_str() == kind)
    }
}

/// The statement that notes what `command` is about to do to the `kind` called `name` of `table`; its state before is
/// read from the catalog by the statement itself.
pub(super) fn note(command: &'static str, kind: Kind, table: &QualifiedName, name: &str) -> Statement {
    let template = match kind {
        Kind::Table | Kind::Index | Kind::Role => include_str!("change/note.sql"),
        Kind::Column => include_str!("change/note_column.sql"),
        Kind::ForeignKey => include_str!("change/note_foreign_key.sql"),
        Kind::UniqueKey => include_str!("change/note_unique_key.sql"),
        Kind::Grant => include_str!("change/note_grant.sql"),
        Kind::Policy => include_str!("change/note_policy.sql"),
        Kind::Function => include_str!("change/note_function.sql"),
    };
    let fragments: [(&str, &dyn Fragment); 6] = [
        ("command_text", &Literal::new(command)),
        ("kind_text", &Literal::new(kind.as_str())),
        ("schema_text", &Literal::new(table.schema.as_str())),
        ("table_text", &Literal::new(table.name.as_str())),
        ("name_text", &Literal::new(name)),
        ("relation_text", &Literal::new(&table.to_string())),
    ];
    render(template, &fragments)
}

/// The statement that notes that `command` is about to make the index `name` of `table`, and as what (`made`, JSON).
pub(super) fn note_made(command: &'static str, table: &QualifiedName, name: &str, made: &str) -> Statement {
    let fragments: [(&str, &dyn Fragment); 5] = [
        ("command_text", &Literal::new(command)),
        ("schema_text", &Literal::new(table.schema.as_str())),
        ("table_text", &Literal::new(table.name.as_str())),
        ("name_text", &Literal::new(name)),
        ("made_text", &Literal::new(made)),
    ];
    render(include_str!("change/note_made.sql"), &fragments)
}

/// The statement that forgets the indexes that `command` made of the table `root` with the definition `tail`, or, with
/// `heir`, remembers them as what that command took away.
pub(super) fn pass_on(
    command: &'static str,
    heir: Option<&'static str>,
    root: &str,
    tail: &str,
) -> Statement {
    let heir_text = Literal::new(heir.unwrap_or_default());
    let fragments: [(&str, &dyn Fragment); 4] = [
        ("command", &Literal::new(command)),
        ("heir", &heir_text),
        ("root", &Literal::new(root)),
        ("tail", &Literal::new(tail)),
    ];
    let template = match heir {
        Some(_) => {
            "UPDATE stockfoil.change SET command = {heir} WHERE command = {command} AND kind = 'index' AND before ->> 'root' = {root} AND before ->> 'tail' = {tail}"
        }
        None => {
            "DELETE FROM stockfoil.change WHERE command = {command} AND kind = 'index' AND before ->> 'root' = {root} AND before ->> 'tail' = {tail}"
        }
    };
    render(template, &fragments)
}

/// The step that forgets what `command` changed, once that is put back.
pub(super) fn forget(command: &'static str) -> Step {
    let command = Literal::new(command);
    let forget = render("DELETE FROM stockfoil.change WHERE command = {command}", &[("command", &command)]);
    let goal = Goal::Query {
        query: render(
            "SELECT NOT EXISTS (SELECT FROM stockfoil.change WHERE command = {command})",
            &[("command", &command)],
        ),
        binds: Vec::new(),
        table: None,
    };
    let statements = vec![forget, render("TRUNCATE stockfoil.fill", &[])];
    Step::short("forget the schema that was put back".into(), Lock::None, vec![], statements, goal)
}

/// One remembered change.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// What it is about.
    pub(super) kind: Kind,
    /// The table.
    pub(super) table: QualifiedName,
    /// The object's name: empty for a table.
    pub(super) name: String,
    /// What it was; none where it was not there.
    pub(super) before: Option<serde_json::Value>,
}

impl Change {
    /// What it was, in its own terms; none where it was not there.
    pub(super) fn before<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, DbError> {
        let before = self.before.as_ref().map(T::deserialize).transpose();
        before.map_err(|error| {
            DbError::Query(sqlx::Error::ColumnDecode { index: "before".into(), source: error.into() })
        })
    }
}

/// A column before it was altered.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ColumnBefore {
    /// Whether it was NOT NULL.
    pub(super) not_null: bool,
    /// Its default, as PostgreSQL printed it.
    pub(super) default: Option<String>,
}

/// A foreign key before it was validated or dropped.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ForeignKeyBefore {
    /// Its definition, as PostgreSQL printed it.
    pub(super) definition: String,
    /// COMMENT ON CONSTRAINT.
    #[serde(default)]
    pub(super) comment: Option<String>,
}

/// A table's row-level security before it was enabled.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct PolicyBefore {
    /// Whether it was enabled.
    pub(super) enabled: bool,
    /// Whether it bound the table's owner.
    pub(super) forced: bool,
}

/// A function before it was given to another owner.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct FunctionBefore {
    /// The owner.
    pub(super) owner: String,
}

/// A unique key before it was dropped; all texts as PostgreSQL printed them.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct UniqueKeyBefore {
    /// Its access method.
    pub(super) method: String,
    /// What stands behind the opening parenthesis of its definition.
    pub(super) tail: String,
    /// Its constraint, where it was one.
    pub(super) constraint: Option<ConstraintBefore>,
    /// Its columns and expressions.
    pub(super) parts: Vec<String>,
    /// Which rows it was about, where it was partial.
    pub(super) predicate: Option<String>,
    /// Whether two NULLs were equal to it.
    pub(super) nulls_not_distinct: bool,
    /// Its index, and those of the table's partitions, parents first.
    pub(super) places: Vec<PlaceBefore>,
}

impl UniqueKeyBefore {
    /// When it was checked.
    pub(super) fn timing(&self) -> Timing {
        let constraint = self.constraint.as_ref();
        constraint
            .map_or(Timing::Immediate, |constraint| Timing::of(constraint.deferrable, constraint.deferred))
    }
}

/// A unique constraint before it was dropped.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ConstraintBefore {
    /// DEFERRABLE.
    pub(super) deferrable: bool,
    /// INITIALLY DEFERRED.
    pub(super) deferred: bool,
    /// Its definition.
    pub(super) definition: String,
}

/// One index of a unique key.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PlaceBefore {
    /// The schema of table and index.
    pub(super) schema: String,
    /// The table.
    pub(super) table: String,
    /// The index.
    pub(super) index: String,
    /// Whether it holds rows, and not only partitions.
    pub(super) is_leaf: bool,
    /// Its tablespace, unless it is the database's own.
    pub(super) tablespace: Option<String>,
    /// Whether CLUSTER goes by it.
    pub(super) clustered: bool,
    /// SET STATISTICS of its expressions, each with its place from 1.
    pub(super) statistics: Option<Vec<(u16, u32)>>,
    /// DEPENDS ON EXTENSION.
    pub(super) extensions: Option<Vec<String>>,
    /// COMMENT ON INDEX.
    pub(super) index_comment: Option<String>,
    /// COMMENT ON CONSTRAINT.
    pub(super) constraint_comment: Option<String>,
}

/// What `command` changed and did not put back, in the order in which it was done; none where nothing is remembered.
///
/// # Errors
/// When the memory can't be read.
pub(super) async fn of(connection: &mut PgConnection, command: &str) -> Result<Vec<Change>, crate::Error> {
    if !is_there(connection).await? {
        return Ok(Vec::new());
    }
    let statement = render(
        "SELECT {columns} FROM stockfoil.change WHERE command = $1 ORDER BY id",
        &[("columns", &Fixed(crate::rows::stockfoil::change::COLUMNS))],
    );
    let rows: Vec<Row> = sqlx::query_as(statement.sql())
        .bind(command)
        .fetch_all(connection)
        .await
        .context("read what the migration changed from stockfoil.change")?;
    let change = |row: Row| -> Result<Option<Change>, NameError> {
        let Some(kind) = Kind::from_str(&row.kind) else { return Ok(None) };
        Ok(Some(Change {
            kind,
            table: QualifiedName::new(Ident::new(row.schema_name)?, Ident::new(row.table_name)?),
            name: row.name,
            before: row.before,
        }))
    };
    Ok(rows.into_iter().filter_map(|row| change(row).transpose()).collect::<Result<_, _>>()?)
}

/// Whether the `kind` called `name` of `table` was made or altered by a migration.
///
/// # Errors
/// When the memory can't be read.
pub(super) async fn is_noted(
    session: &mut PgConnection,
    kind: Kind,
    table: &QualifiedName,
    name: &Ident,
) -> Result<bool, DbError> {
    if !is_there(session).await? {
        return Ok(false);
    }
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM stockfoil.change WHERE kind = $1 AND schema_name = $2 AND table_name = $3 AND name = $4)",
    )
    .bind(kind.as_str())
    .bind(table.schema.as_str())
    .bind(table.name.as_str())
    .bind(name.as_str())
    .fetch_one(session)
    .await
    .context("look into stockfoil.change")
}

/// The names of the indexes of `table` that a migration made or was about to make.
///
/// # Errors
/// When the memory can't be read.
pub(super) async fn noted_indexes(
    session: &mut PgConnection,
    table: &QualifiedName,
) -> Result<Vec<String>, DbError> {
    if !is_there(session).await? {
        return Ok(Vec::new());
    }
    sqlx::query_scalar(
        "SELECT name FROM stockfoil.change WHERE kind = 'index' AND schema_name = $1 AND table_name = $2",
    )
    .bind(table.schema.as_str())
    .bind(table.name.as_str())
    .fetch_all(session)
    .await
    .context(format!("look into stockfoil.change for the indexes of {}", table.plain()))
}

/// Whether the database has the memory.
pub(super) async fn is_there(connection: &mut PgConnection) -> Result<bool, DbError> {
    catalog::is_there(connection, "stockfoil.change").await
}
