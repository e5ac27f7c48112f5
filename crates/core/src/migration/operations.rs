//! What the operations role has of Stockfoil's own schema, in an isolated database: its functions, and rights on its tables.

use sqlx::PgConnection;

use super::{
    change::{self, Kind},
    privileges,
    step::Goal,
};
use crate::sql::{Definition, Fixed, Fragment, Ident, List, QualifiedName, Statement, render};

/// What `stockfoil.change` remembers isolation's changes by.
pub(crate) const COMMAND: &str = "isolate";

/// What a role may have on a table.
pub(super) const ROWS: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE"];

/// What a role may have on a sequence.
pub(super) const SEQUENCE: &[&str] = &["USAGE", "SELECT"];

/// What a right is given by.
pub(super) const GRANT: &str = "GRANT {privileges} ON {kind} {object} TO {role}";

/// Rights of a role on an object.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) kind: ObjectKind,
    /// The object; a schema stands in both places.
    pub(super) object: QualifiedName,
    pub(super) privileges: Vec<&'static str>,
}

/// What rights are granted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Table,
    Sequence,
    Schema,
    /// One whose name no other function of its schema has.
    Function,
}

impl ObjectKind {
    fn word(self) -> &'static str {
        match self {
            ObjectKind::Table => "table",
            ObjectKind::Sequence => "sequence",
            ObjectKind::Schema => "schema",
            ObjectKind::Function => "function",
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Self> {
        [Self::Table, Self::Sequence, Self::Schema, Self::Function]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

impl Grant {
    pub(super) fn new(kind: ObjectKind, object: &QualifiedName, privileges: &[&'static str]) -> Self {
        Self { kind, object: object.clone(), privileges: privileges.to_vec() }
    }

    pub(super) fn on_schema(schema: &Ident, privileges: &[&'static str]) -> Self {
        Self::new(ObjectKind::Schema, &QualifiedName::new(schema.clone(), schema.clone()), privileges)
    }

    /// The statement that `verb` (a template) makes of it.
    pub(super) fn statement(&self, role: &Ident, verb: &'static str) -> Statement {
        let privileges = List(self.privileges.iter().copied().map(Fixed).collect());
        let kind = Fixed(self.kind.word());
        let object: &dyn Fragment = match self.kind {
            ObjectKind::Schema => &self.object.schema,
            _ => &self.object,
        };
        render(verb, &[("privileges", &privileges), ("kind", &kind), ("object", object), ("role", role)])
    }

    /// The name that it is remembered by.
    pub(super) fn name(&self, role: &Ident) -> String {
        format!("{} {}", self.kind.word(), role.as_str())
    }

    fn wanted(&self) -> impl Iterator<Item = serde_json::Value> {
        let object = match self.kind {
            ObjectKind::Schema => self.object.schema.as_str().to_owned(),
            _ => self.object.to_string(),
        };
        self.privileges.iter().map(move |privilege| {
            serde_json::json!({ "kind": self.kind.word(), "object": object, "privilege": privilege })
        })
    }
}

/// Whether `role` holds all that `grants` say; with `none` as the state, whether it holds none of it.
pub(super) fn grant_goal(role: &Ident, grants: &[Grant], state: &str) -> Goal {
    let wanted: Vec<serde_json::Value> = grants.iter().flat_map(Grant::wanted).collect();
    Goal::new(
        include_str!("goals/privileges.sql"),
        [role.as_str().into(), serde_json::Value::from(wanted).to_string(), state.into()],
    )
}

/// The statement that gives a function to `owner`.
pub(super) fn give(function: &str, owner: &Ident) -> Statement {
    let function = Definition::from_catalog(function.to_owned());
    render("ALTER FUNCTION {function} OWNER TO {owner}", &[("function", &function), ("owner", owner)])
}

/// Gives the operations role what a transaction made in Stockfoil's schema of an isolated database, in that transaction:
/// functions that are `operations`'s already would else call, read and write what they may not, until isolation's own steps
/// are done. `before` are the addresses of what was there, `tables` those of other schemas that were made for Stockfoil.
///
/// # Errors
/// Database errors.
pub(super) async fn hand_over(
    connection: &mut PgConnection,
    before: &[String],
    tables: &[QualifiedName],
    operations: &Ident,
) -> Result<(), sqlx::Error> {
    for table in tables {
        let grant = Grant::new(ObjectKind::Table, table, ROWS);
        let note = change::note(COMMAND, Kind::Grant, table, &grant.name(operations));
        for statement in [note, grant.statement(operations, GRANT)] {
            sqlx::raw_sql(statement.sql()).execute(&mut *connection).await?;
        }
    }
    let made = render(include_str!("operations/made.sql"), &[("own", &privileges::own())]);
    let made: Vec<(String, String, String)> = sqlx::query_as(made.sql())
        .persistent(false)
        .bind(before)
        .bind(privileges::FOR_EVERYBODY)
        .fetch_all(&mut *connection)
        .await?;
    let records = Ident::fixed("stockfoil");
    for (kind, name, object) in made {
        let statements = match ObjectKind::of_word(&kind) {
            Some(kind @ (ObjectKind::Table | ObjectKind::Sequence)) => {
                let name = Ident::new(name).map_err(|error| sqlx::Error::Decode(error.into()))?;
                let rights = if kind == ObjectKind::Table { ROWS } else { SEQUENCE };
                let grant = Grant::new(kind, &QualifiedName::new(records.clone(), name), rights);
                [
                    change::note(COMMAND, Kind::Grant, &grant.object, &grant.name(operations)),
                    grant.statement(operations, GRANT),
                ]
            }
            _ => {
                [change::note(COMMAND, Kind::Function, &function_table(), &object), give(&object, operations)]
            }
        };
        for statement in statements {
            sqlx::raw_sql(statement.sql()).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// What stands for the catalog of functions in the record.
pub(super) fn function_table() -> QualifiedName {
    QualifiedName::new(Ident::fixed("pg_catalog"), Ident::fixed("pg_proc"))
}
