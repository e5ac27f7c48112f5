//! Foreign keys between tenant tables become composite: the organization's column beside their own.

use sqlx::PgConnection;

use super::COMMAND;
use crate::{
    Error, catalog,
    db::Context as _,
    migration::{
        change::{self, Kind},
        finding::Finding,
        index::{self, Planned, Printed, Shape},
        step::{Goal, Lock, Step},
    },
    model::Model,
    sql::{Definition, Fixed, Fragment, Ident, List, QualifiedName, Statement, all_of, render},
};

/// A foreign key that does not pair the organizations.
#[derive(Debug, Clone)]
pub(crate) struct ForeignKey {
    pub(crate) table: QualifiedName,
    pub(crate) name: Ident,
    pub(crate) referenced: QualifiedName,
    pub(crate) columns: Vec<Ident>,
    referenced_columns: Vec<Ident>,
    referenced_tail: Definition,
    on_update: Action,
    on_delete: Action,
    set_columns: Vec<Ident>,
    /// MATCH FULL of several columns of which one may be NULL: what it says can't be said beside a column that never is.
    is_full: bool,
    is_deferred: bool,
    is_valid: bool,
    /// Not NOT ENFORCED.
    is_enforced: bool,
    /// PERIOD: the referenced rows together have to cover a range.
    is_period: bool,
}

/// What happens to a row whose referenced row is deleted or gets another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Nothing,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

impl Action {
    fn of(letter: &str) -> Self {
        match letter {
            "r" => Action::Restrict,
            "c" => Action::Cascade,
            "n" => Action::SetNull,
            "d" => Action::SetDefault,
            _ => Action::Nothing,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Action::Nothing => "NO ACTION",
            Action::Restrict => "RESTRICT",
            Action::Cascade => "CASCADE",
            Action::SetNull => "SET NULL",
            Action::SetDefault => "SET DEFAULT",
        }
    }

    fn sets(self) -> bool {
        matches!(self, Action::SetNull | Action::SetDefault)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    schema_name: String,
    table_name: String,
    name: String,
    referenced_schema: String,
    referenced_table: String,
    columns: Vec<String>,
    referenced_columns: Vec<String>,
    referenced_tail: String,
    on_update: String,
    on_delete: String,
    set_columns: Vec<String>,
    is_match_full: bool,
    is_nullable: bool,
    is_deferred: bool,
    is_valid: bool,
    is_enforced: bool,
    is_period: bool,
}

impl ForeignKey {
    fn new(row: Row) -> Result<Self, Error> {
        let idents = |names: Vec<String>| names.into_iter().map(Ident::new).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            table: QualifiedName::new(Ident::new(row.schema_name)?, Ident::new(row.table_name)?),
            name: Ident::new(row.name)?,
            referenced: QualifiedName::new(
                Ident::new(row.referenced_schema)?,
                Ident::new(row.referenced_table)?,
            ),
            is_full: row.is_match_full && row.is_nullable && row.columns.len() > 1,
            columns: idents(row.columns)?,
            referenced_columns: idents(row.referenced_columns)?,
            referenced_tail: Definition::from_catalog(row.referenced_tail),
            on_update: Action::of(&row.on_update),
            on_delete: Action::of(&row.on_delete),
            set_columns: idents(row.set_columns)?,
            is_deferred: row.is_deferred,
            is_valid: row.is_valid,
            is_enforced: row.is_enforced,
            is_period: row.is_period,
        })
    }

    /// The key for a message.
    pub(crate) fn plain(&self) -> String {
        format!("foreign key {} of {}", self.name.as_str(), self.table.plain())
    }
}

/// The foreign keys between tenant tables, partitions included, that don't pair the organizations.
///
/// # Errors
/// Database errors.
pub(crate) async fn crossing(session: &mut PgConnection, model: &Model) -> Result<Vec<ForeignKey>, Error> {
    let mut tables = Vec::new();
    for table in &model.tenant_tables {
        tables.extend(catalog::parts(session, table).await?.iter().map(|part| part.table.to_string()));
    }
    let rows: Vec<Row> = sqlx::query_as(include_str!("foreign_keys.sql"))
        .bind(&tables)
        .bind(model.org_column.as_str())
        .fetch_all(session)
        .await
        .context("read the foreign keys between tenant tables")?;
    rows.into_iter().map(ForeignKey::new).collect()
}

/// What keeps them from becoming composite: their kind, or rows that point at another organization's.
pub(super) async fn obstacles(session: &mut PgConnection, model: &Model) -> Result<Vec<Finding>, Error> {
    let mut found = Vec::new();
    for key in crossing(session, model).await? {
        let finding = |detail: String, remedy: &str| Finding {
            check: "foreign_keys",
            object: key.plain(),
            detail,
            remedy: remedy.to_owned(),
        };
        if key.on_update.sets() {
            found.push(finding(
                format!("says ON UPDATE {}, which would take the organization too", key.on_update.words()),
                "make it ON UPDATE CASCADE or NO ACTION first",
            ));
        }
        if key.is_full {
            found.push(finding(
                "is MATCH FULL of several columns, which can't be said beside the organization's".into(),
                "make it MATCH SIMPLE with a CHECK that all of its columns are NULL or none, first",
            ));
        }
        if key.is_period {
            found.push(finding(
                "compares ranges (PERIOD), and there is no index per organization that it could go by".into(),
                "put the organization into it and into the key WITHOUT OVERLAPS that it refers to, or drop it, first",
            ));
            continue;
        }
        if !key.is_enforced {
            found.push(finding(
                "is NOT ENFORCED, so its rows may point anywhere".into(),
                "mend its rows and make it ENFORCED, or drop it, first",
            ));
        } else if !key.is_valid {
            found.push(finding("is NOT VALID".into(), "mend its rows and VALIDATE it first"));
        }
        let (count, example) = pointing(session, model, &key).await?;
        if count > 0 {
            let rows = if count == 1 { "1 row points".to_owned() } else { format!("{count} rows point") };
            found.push(finding(
                format!(
                    "would not hold: {rows} at a row of another organization in {} ({})",
                    key.referenced.plain(),
                    example.unwrap_or_default()
                ),
                "give both to one organization (data-assign), or the row its own copy",
            ));
        }
    }
    Ok(found)
}

/// How many rows point at another organization's, and an example.
async fn pointing(
    session: &mut PgConnection,
    model: &Model,
    key: &ForeignKey,
) -> Result<(i64, Option<String>), Error> {
    let pairs = key.columns.iter().zip(&key.referenced_columns);
    let same = all_of(pairs.map(|(column, referenced)| {
        render("t.{column} = r.{referenced}", &[("column", column), ("referenced", referenced)])
    }));
    let query = render(
        include_str!("crossing.sql"),
        &[
            ("org", &model.org_column),
            ("table", &key.table),
            ("referenced", &key.referenced),
            ("same_row", &same),
        ],
    );
    Ok(sqlx::query_as(query.sql())
        .fetch_one(session)
        .await
        .context(format!("look where {} points", key.plain()))?)
}

/// The steps that put a composite key in each one's place: first the unique key that it refers to, then the key itself,
/// NOT VALID and validated, then the old one goes.
pub(super) async fn steps(session: &mut PgConnection, model: &Model) -> Result<Vec<Step>, Error> {
    let keys = crossing(session, model).await?;
    let mut steps = Vec::new();
    let mut unique: Vec<(&QualifiedName, &Vec<Ident>)> = Vec::new();
    for key in &keys {
        if !unique.contains(&(&key.referenced, &key.referenced_columns)) {
            unique.push((&key.referenced, &key.referenced_columns));
            steps.extend(unique_key(session, model, key).await?);
        }
    }
    let mut names = Vec::new();
    for key in &keys {
        steps.extend(replace(session, model, key, &mut names).await?);
    }
    Ok(steps)
}

async fn unique_key(session: &mut PgConnection, model: &Model, key: &ForeignKey) -> Result<Vec<Step>, Error> {
    let parts = catalog::parts(session, &key.referenced).await?;
    let printed = Printed::new(Some(model.org_column.clone()), key.referenced_tail.clone());
    let shape = Shape::printed(true, Definition::from_catalog("btree".into()), printed)
        .printed_again(session, &key.referenced)
        .await?;
    let mut words = vec![model.org_column.as_str()];
    words.extend(key.referenced_columns.iter().map(Ident::as_str));
    words.push("key");
    let places = index::places(session, &parts, &shape, &words, &mut Planned::default()).await?;
    Ok(index::build(&shape, &places, false, |place| {
        Some(change::note(COMMAND, Kind::Index, &place.table, place.index.as_str()))
    }))
}

/// The steps for one key; `names` are those that the steps so far take.
async fn replace(
    session: &mut PgConnection,
    model: &Model,
    key: &ForeignKey,
    names: &mut Vec<(QualifiedName, Ident)>,
) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    let parts = catalog::parts(session, &key.table).await?;
    let Some(root) = parts.first() else { return Ok(steps) };
    // A partitioned table takes no foreign key that is NOT VALID, but one that each partition has already costs it nothing.
    for part in parts.iter().filter(|part| part.is_leaf).chain((!root.is_leaf).then_some(root)) {
        let table = &part.table;
        let name = free_name(session, model, key, table, names).await?;
        names.push((table.clone(), name.clone()));
        let goal = |state: &str| goal(model, key, table, state);
        let timing = Fixed(if part.is_leaf { " NOT VALID" } else { "" });
        let definition = definition(model, key);
        let fragments: [(&str, &dyn Fragment); 5] = [
            ("table", table),
            ("referenced", &key.referenced),
            ("name", &name),
            ("definition", &definition),
            ("timing", &timing),
        ];
        let add = render("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}{timing}", &fragments);
        let note = change::note(COMMAND, Kind::ForeignKey, table, name.as_str());
        let (tables, lock) = locking(&key.referenced, table, "SHARE ROW EXCLUSIVE");
        steps.push(
            Step::short(
                format!("add foreign key {} to {}", name.as_str(), table.plain()),
                Lock::ShareRowExclusive,
                tables.clone(),
                vec![lock, add],
                goal(if part.is_leaf { "there" } else { "valid" }),
            )
            .remembering(note),
        );
        if part.is_leaf {
            steps.push(Step::scan(
                format!("validate foreign key {} of {}", name.as_str(), table.plain()),
                tables,
                render("ALTER TABLE {table} VALIDATE CONSTRAINT {name}", &fragments),
                goal("valid"),
            ));
        }
    }
    let title = format!(
        "drop foreign key {} of {}, which crosses organizations",
        key.name.as_str(),
        key.table.plain()
    );
    steps.push(drop(title, &key.referenced, &key.table, &key.name).remembering(change::note(
        COMMAND,
        Kind::ForeignKey,
        &key.table,
        key.name.as_str(),
    )));
    Ok(steps)
}

/// The step that drops a foreign key of `table`, which takes the lock on the referenced table too.
pub(super) fn drop(title: String, referenced: &QualifiedName, table: &QualifiedName, name: &Ident) -> Step {
    let (tables, lock) = locking(referenced, table, "ACCESS EXCLUSIVE");
    Step::short(
        title,
        Lock::AccessExclusive,
        tables,
        vec![lock, render("ALTER TABLE {table} DROP CONSTRAINT {name}", &[("table", table), ("name", name)])],
        Goal::new(
            "SELECT NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2)",
            [table.to_string(), name.as_str().into()],
        ),
    )
}

/// The tables that a change of a foreign key locks, the quiet one first, and the statement that takes its lock.
pub(super) fn locking(
    referenced: &QualifiedName,
    table: &QualifiedName,
    mode: &'static str,
) -> (Vec<QualifiedName>, Statement) {
    let lock = render(
        "LOCK TABLE {referenced} IN {mode} MODE",
        &[("referenced", referenced), ("mode", &Fixed(mode))],
    );
    let tables =
        if referenced == table { vec![table.clone()] } else { vec![referenced.clone(), table.clone()] };
    (tables, lock)
}

fn definition(model: &Model, key: &ForeignKey) -> Statement {
    let org = &model.org_column;
    let with_org = |columns: &[Ident]| List(std::iter::once(org).chain(columns).cloned().collect::<Vec<_>>());
    let update = match key.on_update {
        Action::Nothing => render("", &[]),
        action => render(" ON UPDATE {action}", &[("action", &Fixed(action.words()))]),
    };
    // The organization stays whatever happens to the row that was referred to.
    let set = List(if key.set_columns.is_empty() { key.columns.clone() } else { key.set_columns.clone() });
    let delete = match key.on_delete {
        Action::Nothing => render("", &[]),
        action if action.sets() => {
            render(" ON DELETE {action} ({set})", &[("action", &Fixed(action.words())), ("set", &set)])
        }
        action => render(" ON DELETE {action}", &[("action", &Fixed(action.words()))]),
    };
    let timing = Fixed(if key.is_deferred {
        " DEFERRABLE INITIALLY DEFERRED"
    } else {
        " DEFERRABLE INITIALLY IMMEDIATE"
    });
    render(
        "FOREIGN KEY ({columns}) REFERENCES {referenced} ({referenced_columns}){update}{delete}{timing}",
        &[
            ("columns", &with_org(&key.columns)),
            ("referenced", &key.referenced),
            ("referenced_columns", &with_org(&key.referenced_columns)),
            ("update", &update),
            ("delete", &delete),
            ("timing", &timing),
        ],
    )
}

fn goal(model: &Model, key: &ForeignKey, table: &QualifiedName, state: &str) -> Goal {
    let names = |columns: &[Ident]| {
        let names = std::iter::once(&model.org_column).chain(columns).map(Ident::as_str);
        serde_json::Value::from_iter(names).to_string()
    };
    Goal::new(
        include_str!("../goals/composite_key.sql"),
        [
            table.to_string(),
            key.referenced.to_string(),
            names(&key.columns),
            names(&key.referenced_columns),
            state.into(),
        ],
    )
}

/// The name of the composite key on `table`: that of one that is there already, else one that no constraint has.
async fn free_name(
    session: &mut PgConnection,
    model: &Model,
    key: &ForeignKey,
    table: &QualifiedName,
    names: &[(QualifiedName, Ident)],
) -> Result<Ident, Error> {
    let columns: Vec<String> = std::iter::once(&model.org_column)
        .chain(&key.columns)
        .map(|column| column.as_str().to_owned())
        .collect();
    let there: Option<String> = sqlx::query_scalar(
        "SELECT k.conname::text FROM pg_constraint AS k
         WHERE k.contype = 'f' AND k.conrelid = to_regclass($1) AND k.confrelid = to_regclass($2)
           AND $3 = ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS p (attnum, place)
                          JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = p.attnum ORDER BY p.place)",
    )
    .bind(table.to_string())
    .bind(key.referenced.to_string())
    .bind(&columns)
    .fetch_optional(&mut *session)
    .await
    .context(format!("look for a key like {}", key.plain()))?;
    if let Some(name) = there {
        return Ok(Ident::new(name)?);
    }
    let taken: Vec<String> =
        sqlx::query_scalar("SELECT conname::text FROM pg_constraint WHERE conrelid = to_regclass($1)")
            .bind(table.to_string())
            .fetch_all(session)
            .await
            .context(format!("read the constraints of {}", table.plain()))?;
    let mut parts = vec![table.name.as_str()];
    parts.extend(columns.iter().map(String::as_str));
    let name = |number: u32| {
        let last = if number == 0 { "fkey".to_owned() } else { format!("fkey{number}") };
        let mut parts = parts.clone();
        parts.push(&last);
        Ident::joined(&parts)
    };
    let mut number = 0;
    let is_taken = |name: Ident| {
        taken.iter().any(|taken| taken == name.as_str()) || names.contains(&(table.clone(), name))
    };
    while is_taken(name(number)) {
        number += 1;
    }
    Ok(name(number))
}
