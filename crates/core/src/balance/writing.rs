//! Whether the mapping says enough to write an entry of one key, and the statement that does: a correction of the present time,
//! or what the entries of a partition come to, brought forward.

use std::collections::BTreeMap;

use super::BalanceError;
use crate::{
    model::{Constant, Ledger, LedgerColumn, Model, Posting, TX, Term},
    org_id::KeyType,
    sql::{Definition, Fixed, Fragment, Ident, List, Param, Statement, render},
};

/// How entries that correct the ledger are written.
#[derive(Debug)]
pub(super) struct Writing {
    columns: Vec<Ident>,
    /// The values of the first columns, over `d`: a row with a key and a quantity.
    of_key: Vec<Statement>,
    /// The other columns that are given values, which are parameters.
    constants: Vec<Constant>,
    /// The column of the quantity.
    quantity: Ident,
}

impl Writing {
    /// How one that corrects `model`'s ledger is written.
    ///
    /// # Errors
    /// Why none can be.
    pub(super) fn of(model: &Model) -> Result<Self, BalanceError> {
        let ledger = &model.ledger;
        let refused = |why| BalanceError::NoEntry { ledger: ledger.table.plain(), why };
        Self::with(model, made_now(ledger).into_iter().collect()).map_err(refused)
    }

    /// How one is written that brings older ones forward: it is of the time `newest`, a timestamp with a zone, and of no
    /// transaction that a comparison could take for new.
    ///
    /// # Errors
    /// Why none can be.
    pub(super) fn brought_forward(model: &Model, newest: &dyn Fragment) -> Result<Self, String> {
        let ledger = &model.ledger;
        let (column, value) = made_at(ledger, newest).ok_or(
            "[ledger] created_at is an expression, and what to write for it to be a time can't be told",
        )?;
        let tx = (Ident::fixed(TX), render("NULL::bigint", &[]));
        Self::with(model, vec![(column, value), tx])
    }

    /// How one is written, of which some columns are given these values beside its key and its quantity.
    fn with(model: &Model, given: Vec<(Ident, Statement)>) -> Result<Self, String> {
        let ledger = &model.ledger;
        let [posting] = ledger.postings.as_slice() else {
            return Err(format!(
                "each of its entries moves stock of {} keys, and this is one key's; enter it through the application",
                ledger.postings.len()
            ));
        };
        let quantity = column("quantity", &posting.quantity)?.clone();
        let mut columns = vec![model.org_column.clone()];
        let mut of_key = vec![render("d.org", &[])];
        for (name, column, value) in parts(posting)? {
            if columns.contains(&column) || column == quantity {
                return Err(format!(
                    "column {} stands for more than [ledger] {name}; enter it through the application",
                    column.as_str()
                ));
            }
            columns.push(column);
            of_key.push(value);
        }
        columns.push(quantity.clone());
        of_key.push(render("d.quantity", &[]));
        let mut constants = ledger.correction.clone();
        constants.retain(|constant| given.iter().all(|(column, _)| *column != constant.column));
        for (column, value) in given {
            columns.push(column);
            of_key.push(value);
        }
        columns.extend(constants.iter().map(|constant| constant.column.clone()));
        let writing = Self { columns, of_key, constants, quantity };
        writing.require_whole(ledger)?;
        Ok(writing)
    }

    /// Refuses a ledger with columns that must be given values and are not, or that can't be.
    fn require_whole(&self, ledger: &Ledger) -> Result<(), String> {
        let is_written = |name: &Ident| self.columns.contains(name);
        if let Some(found) = ledger.columns.iter().find(|found| found.is_generated && is_written(&found.name))
        {
            return Err(format!(
                "column {} is GENERATED from others; enter it through the application",
                found.name.as_str()
            ));
        }
        let lacking: Vec<&str> = ledger
            .columns
            .iter()
            .filter(|found| found.is_required && !is_written(&found.name))
            .map(|found| found.name.as_str())
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        Err(format!(
            "each entry must be given {}, without a default; say what in [ledger.correction] of stockfoil.toml ({} = \"...\"; \"{{uuid}}\" stands for a new one)",
            lacking.join(", "),
            lacking[0]
        ))
    }

    /// The statement that writes entries of `keys`, a query of `org, item, location, lot, quantity` with parameters up to
    /// number `last`, into `table`; then come the texts of [`texts`](Self::texts). It returns the entry's id, whether
    /// `is_exact`, and whether it counts.
    pub(super) fn statement(
        &self,
        model: &Model,
        table: &dyn Fragment,
        (keys, last): (&Statement, usize),
        is_exact: &dyn Fragment,
    ) -> Statement {
        let constants = self.constants.iter().enumerate().map(|(place, constant)| {
            let text = Param(last + 1 + place);
            let value = if constant.text.contains("{uuid}") {
                "replace({text}::text, '{uuid}', gen_random_uuid()::text)::{type}"
            } else {
                "{text}::text::{type}"
            };
            render(value, &[("text", &text), ("type", &constant.type_name)])
        });
        let values = List(self.of_key.iter().cloned().chain(constants).collect());
        let ids = model.ledger.id.columns.iter().map(|name| render("w.{name}", &[("name", name)]));
        let ids = List(ids.collect::<Vec<_>>());
        let id = match ids.0.len() {
            1 => "({ids})::text",
            _ => "ROW({ids})::text",
        };
        let id = render(id, &[("ids", &ids)]);
        let counts = match &model.ledger.filter {
            Some(filter) => render("({filter}) IS TRUE", &[("filter", filter)]),
            None => render("true", &[]),
        };
        let columns = List(self.columns.clone());
        let fragments: [(&str, &dyn Fragment); 7] = [
            ("entry.table", table),
            ("entry.columns", &columns),
            ("entry.values", &values),
            ("entry.keys", keys),
            ("entry.id", &id),
            ("entry.is_exact", is_exact),
            ("entry.counts", &counts),
        ];
        model.render_with(include_str!("enter.sql"), &fragments)
    }

    /// Whether the written quantity is that of parameter 1.
    pub(super) fn is_exact(&self) -> Statement {
        render("w.{quantity}::numeric = $1::text::numeric", &[("quantity", &self.quantity)])
    }

    /// Whether it gives `column` a value.
    pub(super) fn writes(&self, column: &Ident) -> bool {
        self.columns.contains(column)
    }

    /// What the further columns are given, in the order of their parameters.
    pub(super) fn texts(&self, reason: &str, role: &str, run: Option<i64>) -> Vec<String> {
        let run = run.map_or_else(|| "{run}".to_owned(), |run| run.to_string());
        let fill = |constant: &Constant| {
            // A reason may hold what looks like a place.
            let parts = constant
                .text
                .split("{reason}")
                .map(|part| part.replace("{role}", role).replace("{run}", &run));
            parts.collect::<Vec<_>>().join(reason)
        };
        self.constants.iter().map(fill).collect()
    }

    /// The same with their columns, to be shown.
    pub(super) fn shown(&self, reason: &str, role: &str, run: Option<i64>) -> BTreeMap<String, String> {
        let names = self.constants.iter().map(|constant| constant.column.as_str().to_owned());
        names.zip(self.texts(reason, role, run)).collect()
    }
}

/// The column that a term is.
fn column<'a>(name: &str, term: &'a Term) -> Result<&'a Ident, String> {
    term.column.as_ref().ok_or_else(|| {
        format!(
            "[ledger] {name} is an expression, and what to write for it to have a value can't be told; enter it through the application"
        )
    })
}

/// The parts of the key beside the organization: their names in the mapping, their columns, and their values of `d`.
fn parts(posting: &Posting) -> Result<Vec<(&'static str, Ident, Statement)>, String> {
    let terms = [
        ("item", "d.item", Some(&posting.item)),
        ("location", "d.location", posting.location.as_ref()),
        ("lot", "d.lot", posting.lot.as_ref()),
    ];
    let mut parts = Vec::new();
    for (name, of_d, term) in terms {
        let Some(term) = term else { continue };
        let type_name = Definition::from_catalog(term.type_name.clone());
        // A ledger without NULL has another way to say that there is no lot.
        let is_empty_lot = name == "lot"
            && !term.is_nullable
            && KeyType::of(&term.type_name).is_none_or(|key_type| key_type == KeyType::Text);
        let value = if is_empty_lot { "coalesce({of_d}, '')::{type}" } else { "{of_d}::{type}" };
        let value = render(value, &[("of_d", &Fixed(of_d)), ("type", &type_name)]);
        parts.push((name, column(name, term)?.clone(), value));
    }
    Ok(parts)
}

/// The column that says when an entry was made, where the database doesn't fill it in and nobody says a value.
fn made_now(ledger: &Ledger) -> Option<(Ident, Statement)> {
    let column = time_column(ledger)?;
    let is_given =
        column.has_default || ledger.correction.iter().any(|constant| constant.column == column.name);
    if is_given { None } else { made_at(ledger, &Fixed("statement_timestamp()")) }
}

/// The column that says when an entry was made, with `time`, a timestamp with a zone, as it is there.
fn made_at(ledger: &Ledger, time: &dyn Fragment) -> Option<(Ident, Statement)> {
    let column = time_column(ledger)?;
    // Whatever its type is, a timestamp without a zone is one of UTC.
    let value = match column.base_type.ends_with("with time zone") {
        true => "{time}",
        false => "{time} AT TIME ZONE 'UTC'",
    };
    Some((column.name.clone(), render(value, &[("time", time)])))
}

fn time_column(ledger: &Ledger) -> Option<&LedgerColumn> {
    let created_at = ledger.created_at.as_ref()?;
    ledger.columns.iter().find(|column| column.name.to_string() == created_at.as_str())
}
