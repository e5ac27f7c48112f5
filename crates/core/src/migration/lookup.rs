//! Lookups by the keys that are replaced: a plain index of the old definition serves them from before the unique key
//! goes until `--finalize`, since the application does not name the organization in them yet.
//!
//! The index is built concurrently, under a name that is free, and is Stockfoil's by its record in `stockfoil.change` and
//! its definition. Where another index that stays serves the same columns, none is built.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{
    change::{self, Change, Kind, MIGRATE_ORG},
    index::{self, Planned, Printed, Shape},
    report::LookupUse,
    runner,
    step::{Effect, Run, Step},
};
use crate::{
    Error,
    catalog::{self, UniqueKey},
    db::Context as _,
    model::Model,
    sql::{Definition, Ident, QualifiedName},
};

/// What `stockfoil.change` remembers these indexes by.
pub(super) const COMMAND: &str = "keep lookups";

/// What an index has to serve: lookups by a unique key that is replaced, as PostgreSQL printed its definition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Lookup {
    /// The key's name.
    key: String,
    /// Its access method.
    method: String,
    /// What stands behind the opening parenthesis of its definition.
    tail: String,
    /// Its columns and expressions.
    parts: Vec<String>,
    /// Which rows it is about, where it is partial.
    predicate: Option<String>,
    /// The table whose key it was; an index of a partition serves as a part of that table's.
    root: String,
}

impl Lookup {
    /// What an index has to serve once `key` is gone.
    pub(super) fn by(key: &UniqueKey) -> Self {
        Self {
            root: key.table.to_string(),
            key: key.name.as_str().to_owned(),
            method: key.method.to_string(),
            tail: key.tail.to_string(),
            parts: key.parts.iter().map(ToString::to_string).collect(),
            predicate: key.predicate.as_ref().map(ToString::to_string),
        }
    }

    /// The key's columns with their collations, operator classes and orders.
    fn columns(&self) -> &str {
        columns(&self.tail)
    }

    /// The index, as one of `table` is printed.
    async fn shape(&self, session: &mut PgConnection, table: &QualifiedName) -> Result<Shape, Error> {
        let printed = Printed::new(None, Definition::from_catalog(self.tail.clone()));
        let shape = Shape::printed(false, Definition::from_catalog(self.method.clone()), printed);
        Ok(shape.printed_again(session, table).await?)
    }

    /// Whether an index of `table` that stays serves the lookups: it begins with the key's columns, and is about the
    /// key's rows.
    async fn is_served(
        &self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
    ) -> Result<bool, Error> {
        let tails = self.shape(session, table).await?.tails();
        let statement = index::over_definitions(include_str!("lookup/is_served.sql"));
        Ok(sqlx::query_scalar(statement.sql())
            .bind(table.to_string())
            .bind(self.columns())
            .bind(&self.method)
            .bind(&self.predicate)
            .bind(model.org_column.as_str())
            .bind(tails)
            .fetch_one(session)
            .await
            .context(format!("look for an index that serves lookups by {} of {}", self.key, table.plain()))?)
    }

    /// The steps that build the index on `table`; none where another serves.
    ///
    /// # Errors
    /// Database errors.
    pub(super) async fn steps(
        &self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
        planned: &mut Planned,
    ) -> Result<Vec<Step>, Error> {
        if self.is_served(session, model, table).await? {
            return Ok(Vec::new());
        }
        let shape = self.shape(session, table).await?;
        let parts = catalog::parts(session, table).await?;
        let mut words: Vec<String> = self.parts.iter().map(|part| word(part)).collect();
        words.push("idx".into());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let places = index::places(session, &parts, &shape, &words, planned).await?;
        let made = serde_json::json!(self).to_string();
        let mut steps = index::build(&shape, &places, false, |place| {
            Some(change::note_made(COMMAND, &place.table, place.index.as_str(), &made))
        });
        for step in steps.iter_mut().filter(|step| matches!(step.run, Run::Concurrent)) {
            step.title = format!("{}, for lookups by {} that name no organization", step.title, self.key);
            step.effect = Some(Effect::MovesLookup(self.key.clone()));
        }
        Ok(steps)
    }
}

/// The steps that give lookups by keys that went before an index again, on those of `tables` whose inserts may still leave
/// the organization out.
///
/// # Errors
/// Database errors.
pub(super) async fn steps_again(
    session: &mut PgConnection,
    model: &Model,
    tables: &[&QualifiedName],
) -> Result<Vec<Step>, Error> {
    let (mut steps, mut planned) = (Vec::new(), Planned::default());
    let replaced = replaced(session, model).await?;
    let roots = catalog::roots(session, replaced.iter().map(|(table, _)| table)).await?;
    let is_asked = |table: &QualifiedName| {
        let plain = table.plain();
        let root = roots.get(&plain).unwrap_or(&plain);
        tables.iter().any(|asked| asked.plain() == *root)
    };
    for (table, lookup) in replaced.into_iter().filter(|(table, _)| is_asked(table)) {
        steps.extend(lookup.steps(session, model, &table, &mut planned).await?);
    }
    Ok(steps)
}

/// The lookups by replaced keys of tables whose default organization still stands, each as table and key, with whether
/// an index serves them.
///
/// # Errors
/// Database errors.
pub(crate) async fn states(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<(QualifiedName, String, bool)>, Error> {
    runner::prepare(session).await?;
    let mut states = Vec::new();
    for (table, lookup) in replaced(session, model).await? {
        let is_served = lookup.is_served(session, model, &table).await?;
        states.push((table, lookup.columns().to_owned(), is_served));
    }
    Ok(states)
}

/// The keys that `migrate-org` replaced and remembers, of tables whose default organization still stands.
async fn replaced(session: &mut PgConnection, model: &Model) -> Result<Vec<(QualifiedName, Lookup)>, Error> {
    let mut replaced = Vec::new();
    for change in change::of(session, MIGRATE_ORG).await? {
        if change.kind != Kind::UniqueKey {
            continue;
        }
        let Some(before) = change.before::<change::UniqueKeyBefore>()? else { continue };
        let default = catalog::column(session, &change.table, &model.org_column).await?;
        if !default
            .and_then(|column| column.default)
            .is_some_and(|default| default.contains("stockfoil.default_org("))
        {
            continue;
        }
        let lookup = Lookup {
            key: change.name,
            method: before.method,
            tail: before.tail,
            parts: before.parts,
            predicate: before.predicate,
            root: change.table.to_string(),
        };
        replaced.push((change.table, lookup));
    }
    Ok(replaced)
}

/// One of these indexes that is there as it was made.
struct Made {
    change: Change,
    lookup: Lookup,
}

/// The indexes that are there and still what they were made as; one of that name that is another is the application's.
async fn made(session: &mut PgConnection) -> Result<Vec<Made>, Error> {
    let mut made = Vec::new();
    for change in change::of(session, COMMAND).await? {
        let Some(lookup) = change.before::<Lookup>()? else { continue };
        let tails = lookup.shape(session, &change.table).await?.tails();
        let statement = index::over_definitions(include_str!("lookup/is_ours.sql"));
        let is_ours: bool = sqlx::query_scalar(statement.sql())
            .bind(change.table.to_string())
            .bind(&change.name)
            .bind(tails)
            .bind(&lookup.method)
            .fetch_one(&mut *session)
            .await
            .context("look for the indexes that serve lookups by replaced keys")?;
        if is_ours {
            made.push(Made { change, lookup });
        }
    }
    Ok(made)
}

impl Made {
    fn is_root(&self) -> bool {
        self.lookup.root == self.change.table.to_string()
    }

    fn index(&self) -> Result<QualifiedName, Error> {
        let name = Ident::new(self.change.name.as_str())?;
        Ok(QualifiedName::new(self.change.table.schema.clone(), name))
    }

    fn drop(&self) -> Result<Step, Error> {
        let Change { table, name, .. } = &self.change;
        let title = format!(
            "drop {name} of {}, which served lookups by {} that name no organization",
            table.plain(),
            self.lookup.key
        );
        Ok(index::drop(title, table, &Ident::new(name.as_str())?, false))
    }
}

/// What `--finalize` does about these indexes: how often each was used, what the operator should know, and the steps
/// that drop those that no foreign key needs.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// How often each was used.
    pub(super) uses: Vec<LookupUse>,
    /// What the operator should know.
    pub(super) warnings: Vec<String>,
    /// The steps.
    pub(super) steps: Vec<Step>,
}

/// Looks at the indexes for `--finalize`. Where the organizations are `isolated` by it, row-level security names the
/// organization in every lookup, foreign keys between tenant tables take it in, and the index is remembered for the way
/// back.
///
/// # Errors
/// Database errors.
pub(super) async fn end(
    session: &mut PgConnection,
    model: &Model,
    isolated: Option<&'static str>,
) -> Result<Ending, Error> {
    let mut ending = Ending::default();
    let made: Vec<Made> = made(session).await?.into_iter().filter(Made::is_root).collect();
    let names = |tables: &[QualifiedName]| tables.iter().map(ToString::to_string).collect::<Vec<_>>();
    let paired = if isolated.is_some() { names(&model.tenant_tables) } else { Vec::new() };
    let all: Vec<String> =
        made.iter().map(|made| made.index().map(|index| index.to_string())).collect::<Result<_, _>>()?;
    for made in &made {
        let index = made.index()?;
        let kept_for: Option<String> = sqlx::query_scalar(include_str!("lookup/needed_by.sql"))
            .bind(index.to_string())
            .bind(&all)
            .bind(&paired)
            .fetch_one(&mut *session)
            .await
            .context("look for foreign keys that need an index")?;
        let (scans, last, bytes, since) = sqlx::query_as(include_str!("lookup/uses.sql"))
            .bind(index.to_string())
            .bind(made.change.table.schema.as_str())
            .bind(made.change.table.name.as_str())
            .bind(&made.change.name)
            .fetch_one(&mut *session)
            .await
            .context("read how often an index was used")?;
        let used = LookupUse {
            table: made.change.table.plain(),
            index: made.change.name.clone(),
            columns: made.lookup.columns().to_owned(),
            scans,
            since,
            last,
            bytes,
            kept_for,
        };
        if used.kept_for.is_none() {
            let mut step = made.drop()?;
            if isolated.is_none() {
                step.effect = Some(Effect::EndsLookup(made.change.name.clone()));
            }
            step.statements.push(change::pass_on(COMMAND, isolated, &made.lookup.root, &made.lookup.tail));
            ending.steps.push(step);
        }
        // Row-level security names the organization.
        ending.warnings.extend(used.warning(model).filter(|_| isolated.is_none()));
        ending.uses.push(used);
    }
    Ok(ending)
}

/// The steps that drop these indexes; the keys that they stand in for are there again.
///
/// # Errors
/// Database errors.
pub(super) async fn back(session: &mut PgConnection) -> Result<Vec<Step>, Error> {
    if change::of(session, COMMAND).await?.is_empty() {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    for made in made(session).await?.iter().rev() {
        // A partition's index goes with its parent's.
        if !index::is_attached(session, &made.change.table, &made.change.name).await? {
            steps.push(made.drop()?);
        }
    }
    steps.push(change::forget(COMMAND));
    Ok(steps)
}

/// The steps that build again what isolation's `changes` remember of these indexes.
///
/// # Errors
/// Database errors.
pub(super) async fn restore(
    session: &mut PgConnection,
    model: &Model,
    changes: &[Change],
) -> Result<Vec<Step>, Error> {
    let (mut steps, mut planned) = (Vec::new(), Planned::default());
    // One whose build was begun is remembered as Stockfoil's own again, whether it is there or was killed.
    let begun = change::of(session, COMMAND).await?;
    for change in changes.iter().chain(&begun).filter(|change| change.kind == Kind::Index) {
        match change.before::<Lookup>()? {
            Some(lookup) if lookup.root == change.table.to_string() => {
                steps.extend(lookup.steps(session, model, &change.table, &mut planned).await?);
            }
            _ => {}
        }
    }
    Ok(steps)
}

/// The columns at the beginning of what stands behind a definition's opening parenthesis: up to the one that closes it.
fn columns(tail: &str) -> &str {
    let (mut depth, mut quote) = (0_u32, None);
    for (place, letter) in tail.char_indices() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return tail.get(..place).unwrap_or(tail),
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
    }
    tail
}

/// What a column or an expression is called in an index's name.
pub(super) fn word(part: &str) -> String {
    let quoted = part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match quoted {
        Some(name) => name.replace("\"\"", "\""),
        None if part.chars().all(|letter| letter.is_alphanumeric() || letter == '_') => part.to_owned(),
        None => "expr".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_end_where_their_parenthesis_does() {
        for (tail, wanted) in [
            ("email)", "email"),
            ("lower(email) DESC) INCLUDE (name)", "lower(email) DESC"),
            ("((a || ')'::text)), \"odd ) (\") WHERE (b > 0)", "((a || ')'::text)), \"odd ) (\""),
            ("((a || 'it''s )'::text)))", "((a || 'it''s )'::text))"),
        ] {
            assert_eq!(columns(tail), wanted);
        }
    }

    #[test]
    fn an_expression_has_a_word_too() {
        let words = ["email", "\"odd \"\" name\"", "lower(email)"].map(word);
        assert_eq!(words, ["email", "odd \" name", "expr"]);
    }
}
