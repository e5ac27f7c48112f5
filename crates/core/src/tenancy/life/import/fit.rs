//! Whether the tables of a file are here, as they were where it comes from.

use sqlx::PgConnection;

use super::{
    super::{
        archive::{Header, Kind, TableHeader},
        whole::{Table, Whole},
    },
    report::Conflict,
};
use crate::{
    Error, catalog,
    model::{KeptBy, Model},
    sql::{Ident, QualifiedName},
};

/// A table of the file, and the one here that its rows go to.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// Its place in the file.
    pub(super) place: usize,
    /// The table, with the columns that the file has.
    pub(super) table: Table,
    /// Where its rows are looked at first.
    pub(super) staging: QualifiedName,
    /// How its rows arrive.
    pub(super) way: Way,
}

/// How rows arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// They are inserted.
    Insert,
    /// The ledger's triggers make them; what they hold beside key and quantity is put into them.
    Settle,
    /// They must be there, and be the same.
    Compare,
    /// They follow from others, and are not looked at.
    Ignore,
}

/// The tables in the order in which their rows go in, and what does not fit.
pub(super) async fn find(
    session: &mut PgConnection,
    model: &Model,
    whole: &Whole,
    header: &Header,
    is_renamed: bool,
) -> Result<(Vec<Arrival>, Vec<Conflict>), Error> {
    let mut conflicts = Vec::new();
    if header.org_type != model.org_type.name() {
        let organizations = model.organizations.plain();
        let what =
            format!("ids of organizations are {} there and {} here", header.org_type, model.org_type.name());
        conflicts.push(Conflict::of(&organizations, what));
    }
    let mut arrivals = Vec::new();
    for (place, table) in header.tables.iter().enumerate() {
        let name = QualifiedName::new(Ident::new(&*table.schema)?, Ident::new(&*table.table)?);
        let plain = name.plain();
        let columns = catalog::columns(session, &name).await?;
        if columns.is_empty() {
            conflicts.push(Conflict::of(&plain, "is not here".into()));
            continue;
        }
        let known = whole.tables.iter().position(|known| known.name == name);
        let Some(known) = known.filter(|known| whole.tables[*known].kind == table.kind) else {
            conflicts.push(Conflict::of(&plain, format!("is {} there and not here", kind(table.kind))));
            continue;
        };
        let way = way(model, table.kind, is_renamed);
        if way != Way::Ignore {
            conflicts.extend(differences(&plain, table, &whole.tables[known]));
        }
        let mut here = whole.tables[known].clone();
        // Values come in the order of the file.
        here.columns = (table.columns.iter())
            .filter_map(|column| {
                let of_name = |(name, _): &&(Ident, _)| name.as_str() == column.name;
                whole.tables[known].columns.iter().find(of_name).cloned()
            })
            .collect();
        let staging = Ident::joined(&["stockfoil_import", &place.to_string()]);
        let staging = QualifiedName::new(Ident::fixed("pg_temp"), staging);
        arrivals.push((known, Arrival { place, table: here, staging, way }));
    }
    arrivals.sort_by_key(|(known, _)| *known);
    Ok((arrivals.into_iter().map(|(_, arrival)| arrival).collect(), conflicts))
}

/// The same in the order in which they go in, those together that must.
pub(super) fn in_groups(model: &Model, whole: &Whole, arrivals: Vec<Arrival>) -> Vec<Vec<Arrival>> {
    let mut groups = Vec::new();
    for group in whole.parents_first(model) {
        let is_here =
            |arrival: &&Arrival| group.iter().any(|place| whole.tables[*place].name == arrival.table.name);
        let here: Vec<Arrival> = arrivals.iter().filter(is_here).cloned().collect();
        match whole.is_hard(&group) {
            true => groups.push(here),
            // What is deferrable is asked last.
            false => groups.extend(here.into_iter().map(|arrival| vec![arrival])),
        }
    }
    groups
}

fn way(model: &Model, kind: Kind, is_renamed: bool) -> Way {
    match kind {
        Kind::Organization | Kind::Tenant => Way::Insert,
        // A key leads to one organization, wherever that is.
        Kind::ApiKeys => {
            if is_renamed {
                Way::Ignore
            } else {
                Way::Insert
            }
        }
        Kind::Shared => Way::Compare,
        Kind::Record => Way::Ignore,
        Kind::Balances if !model.balances.is_adopted => Way::Ignore,
        Kind::Balances => match model.balances.kept_by {
            KeptBy::Triggers => Way::Settle,
            KeptBy::Application => Way::Insert,
        },
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Organization => "the table of organizations",
        Kind::ApiKeys => "the table of API keys",
        Kind::Tenant => "tenant-scoped",
        Kind::Balances => "the table of balances",
        Kind::Shared => "a table that tenant-scoped ones refer to",
        Kind::Record => "one of Stockfoil's records",
    }
}

/// What the columns here lack, have otherwise, or need.
fn differences(plain: &str, file: &TableHeader, here: &Table) -> Vec<Conflict> {
    let mut found = Vec::new();
    for column in &file.columns {
        match here.columns.iter().find(|(name, _)| name.as_str() == column.name) {
            None => found.push(Conflict::of(plain, format!("has no column {}", column.name))),
            Some((_, type_name)) if type_name.to_string() != column.type_name => {
                let (name, there) = (&column.name, &column.type_name);
                found.push(Conflict::of(
                    plain,
                    format!("column {name} is {there} there and {type_name} here"),
                ));
            }
            Some(_) => {}
        }
    }
    let given = |name: &String| file.columns.iter().any(|column| column.name == *name);
    let needed = here.required.iter().filter(|name| !given(name));
    found.extend(
        needed.map(|name| Conflict::of(plain, format!("column {name} needs a value, and the file has none"))),
    );
    found
}
