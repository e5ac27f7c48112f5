//! SQL over the balances.

use super::{BalanceColumn, Hot, Model, bounded, fixed, joined, queue};
use crate::{
    org_id::KeyType,
    sql::{Fixed, Fragment, Ident, List, Statement, render},
};

/// Which rows of an adopted table are balances, as PostgreSQL prints it.
#[derive(Debug, Clone)]
pub struct Counted {
    /// Over a row that stands alone.
    pub alone: Statement,
    /// Over a row `b`, whatever stands beside it.
    pub of_b: Statement,
    /// As the predicate of an index.
    pub printed: String,
}

/// SQL that reads and writes balances.
pub(super) struct BalanceSql {
    pub(super) rows: Statement,
    pub(super) add: Adding,
    pub(super) drift_columns: Statement,
    pub(super) drift_values: Statement,
    pub(super) add_drift: Adding,
    pub(super) set_empty: Statement,
    pub(super) makes_rows: Statement,
    pub(super) counted: [Statement; 2],
    pub(super) order: Statement,
    pub(super) is_d: Statement,
    pub(super) item_type: Fixed,
    pub(super) location_type: Fixed,
    pub(super) lot_type: Fixed,
}

/// The parts of the statement that adds deltas to balances, around the query of them.
pub(super) struct Adding {
    pub(super) begin: Statement,
    pub(super) end: Statement,
    /// What it assigns to a balance `b` that is there.
    pub(super) set: Statement,
    /// What it does to one that came meanwhile.
    pub(super) conflict: Statement,
}

/// A part of the key beside the organization.
struct Part<'a> {
    name: &'static str,
    /// Of `d`, a row of deltas.
    of_d: &'static str,
    column: &'a BalanceColumn,
    key_type: KeyType,
}

impl Part<'_> {
    /// The value of `d`, to be written.
    fn value(&self) -> Statement {
        // Each table has its own way to say that there is no lot.
        let is_empty_lot = self.name == "lot" && self.column.is_never_null && self.key_type == KeyType::Text;
        let value = match is_empty_lot {
            true => render("coalesce({value}, '')", &[("value", &fixed(self.of_d))]),
            false => fixed(self.of_d),
        };
        match &self.column.cast {
            None => value,
            Some(cast) => render("{value}::{cast}", &[("value", &value), ("cast", cast)]),
        }
    }
}

/// What tells the lots of a key apart, and no lot from each.
const LOT_KEY: &str = "coalesce(d.lot::text, '')";

/// A column that is not of the key, and its value.
type Written = (Statement, Statement);

impl BalanceSql {
    pub(super) fn of(model: &Model) -> Self {
        let (balances, key) = (&model.balances, model.ledger.key);
        let parts = parts(model);
        let written_lot_key = balances.lot_key.as_ref().filter(|_| !balances.computes_lot_key);
        let key_columns: Vec<Statement> = std::iter::once(plain(&model.org_column))
            .chain(parts.iter().map(|part| plain(&part.column.name)))
            .chain(written_lot_key.map(plain))
            .collect();
        let lot_key = written_lot_key.map(|_| fixed(LOT_KEY));
        let key_values: Vec<Statement> =
            std::iter::once(fixed("d.org")).chain(parts.iter().map(Part::value)).chain(lot_key).collect();
        let quantity = (plain(&balances.quantity), fixed("d.delta"));
        let ledger_id = balances.last_ledger_id.as_ref().map(|name| (plain(name), fixed("d.ledger_id")));
        let updated =
            balances.last_updated.as_ref().map(|name| (plain(name), fixed("statement_timestamp()")));
        let all: Vec<&Written> = std::iter::once(&quantity).chain(&ledger_id).chain(&updated).collect();
        let drift: Vec<&Written> = std::iter::once(&quantity).chain(&updated).collect();
        let columns = |written: &[&Written]| {
            let more = written.iter().map(|(column, _)| column.clone());
            joined(&key_columns.iter().cloned().chain(more).collect::<Vec<_>>(), ", ")
        };
        let values = |written: &[&Written]| {
            let more = written.iter().map(|(_, value)| value.clone());
            joined(&key_values.iter().cloned().chain(more).collect::<Vec<_>>(), ", ")
        };
        let type_of = |key_type: Option<KeyType>| Fixed(key_type.unwrap_or(KeyType::Text).name());
        Self {
            rows: whole_rows(model, &parts),
            add: Adding::of(model, &parts, &all, [&columns(&all), &values(&all)], balances.hot),
            drift_columns: columns(&drift),
            drift_values: values(&drift),
            add_drift: Adding::of(model, &parts, &drift, [&columns(&drift), &values(&drift)], Hot::Wait),
            set_empty: set_empty(&quantity.0, &drift),
            makes_rows: fixed(if balances.makes_rows { "true" } else { "false" }),
            counted: [only(model, " WHERE {counted}"), only(model, " AND {counted}")],
            order: order(model, &parts),
            is_d: is_d(model, &parts),
            item_type: type_of(Some(key.item)),
            location_type: type_of(key.location),
            lot_type: type_of(key.lot),
        }
    }
}

impl BalanceSql {
    /// The part of this name in templates.
    pub(super) fn fragment(&self, name: &str) -> Option<Box<dyn Fragment>> {
        let statement = match name {
            "balance_rows" => &self.rows,
            "balances.add" => &self.add.begin,
            "balances.added" => &self.add.end,
            "balances.drift_columns" => &self.drift_columns,
            "balances.drift_values" => &self.drift_values,
            "balances.add_drift" => &self.add_drift.begin,
            "balances.added_drift" => &self.add_drift.end,
            "balances.set_drift" => &self.add_drift.set,
            "balances.upsert_drift" => &self.add_drift.conflict,
            "balances.set_empty" => &self.set_empty,
            "balances.makes_rows" => &self.makes_rows,
            "balances.where" => &self.counted[0],
            "balances.and" => &self.counted[1],
            "d.order" => &self.order,
            "b.is_d" => &self.is_d,
            "item.type" => return Some(Box::new(self.item_type)),
            "location.type" => return Some(Box::new(self.location_type)),
            "lot.type" => return Some(Box::new(self.lot_type)),
            _ => return None,
        };
        Some(Box::new(statement.clone()))
    }
}

fn plain(name: &Ident) -> Statement {
    render("{name}", &[("name", name)])
}

fn parts(model: &Model) -> Vec<Part<'_>> {
    let (balances, key) = (&model.balances, model.ledger.key);
    let parts = [
        ("item", "d.item", Some(&balances.item), Some(key.item)),
        ("location", "d.location", balances.location.as_ref(), key.location),
        ("lot", "d.lot", balances.lot.as_ref(), key.lot),
    ];
    parts
        .into_iter()
        .filter_map(|(name, of_d, column, key_type)| {
            Some(Part { name, of_d, column: column?, key_type: key_type? })
        })
        .collect()
}

impl Adding {
    /// A row that INSERT proposes is checked, numbered and shown to triggers before PostgreSQL finds that there is one of its
    /// key already. To an adopted table's own of these a delta would be no balance: there what is there is changed
    /// first, in the same order, and only what is not is inserted.
    fn of(
        model: &Model,
        parts: &[Part<'_>],
        written: &[&Written],
        insert: [&Statement; 2],
        hot: Hot,
    ) -> Self {
        let (add, order, is_d) = (upsert(model, written), order(model, parts), is_d(model, parts));
        let set = set(model, written, "{column} = coalesce(b.{column}, 0) + {value}");
        let set_folded = self::set(model, written, "{column} = b.{column} + {value} + coalesce(f.delta, 0)");
        let [columns, values] = insert;
        let fragments: [(&str, &dyn Fragment); 10] = [
            ("balances", &model.balances.table),
            ("columns", columns),
            ("values", values),
            ("add", &add),
            ("order", &order),
            ("is_d", &is_d),
            ("set", &set),
            ("set_folded", &set_folded),
            ("q.is_d", &Fixed(queue::IS_D)),
            ("is_current", &Fixed(queue::IS_CURRENT)),
        ];
        let [begin, end] = if hot == Hot::Queue {
            queue::ADD
        } else if model.balances.is_adopted {
            [
                "WITH d AS MATERIALIZED (
    SELECT d.*
    FROM",
                "
    ), locked AS (
        SELECT FROM {balances} AS b JOIN d ON {is_d} ORDER BY {order} FOR NO KEY UPDATE OF b
    ), changed AS (
        UPDATE {balances} AS b SET {set}
        FROM d
        WHERE {is_d} AND (SELECT count(*) FROM locked) >= 0
        RETURNING d.org, d.item, d.location, d.lot
    )
    INSERT INTO {balances} AS b ({columns})
    SELECT {values}
    FROM d
    WHERE NOT EXISTS (SELECT FROM changed AS c
                      WHERE c.org = d.org AND c.item = d.item AND c.location = d.location
                        AND c.lot IS NOT DISTINCT FROM d.lot)
    ORDER BY {order}
    {add}",
            ]
        } else {
            [
                "INSERT INTO {balances} AS b ({columns})
    SELECT {values}
    FROM",
                "
    ORDER BY {order}
    {add}",
            ]
        };
        Self { begin: render(begin, &fragments), end: render(end, &fragments), set, conflict: add.clone() }
    }
}

/// The assignments of `written` to a balance `b`; `quantity` is that of the quantity.
fn set(model: &Model, written: &[&Written], quantity: &'static str) -> Statement {
    let name = plain(&model.balances.quantity);
    let set = written.iter().map(|(column, value)| {
        let set = if *column == name { quantity } else { "{column} = {value}" };
        render(set, &[("column", column), ("value", value)])
    });
    joined(&set.collect::<Vec<_>>(), ", ")
}

/// What adds `written` to a balance that is there.
fn upsert(model: &Model, written: &[&Written]) -> Statement {
    let balances = &model.balances;
    let quantity = plain(&balances.quantity);
    let set = written.iter().map(|(column, _)| {
        let excluded = render("{column} = EXCLUDED.{column}", &[("column", column)]);
        // The quantity of an adopted table may be NULL, which counts as no balance, in triggers as in repairs: what is
        // added in between stays added.
        let sum = match balances.is_adopted {
            true => "{column} = coalesce(b.{column}, 0) + EXCLUDED.{column}",
            false => "{column} = b.{column} + EXCLUDED.{column}",
        };
        let sum = render(sum, &[("column", column)]);
        if *column == quantity { sum } else { excluded }
    });
    let set = joined(&set.collect::<Vec<_>>(), ", ");
    let (conflict, only) = (List(conflict(model)), only(model, " WHERE {counted}"));
    render(
        "ON CONFLICT ({conflict}){only} DO UPDATE SET {set}",
        &[("conflict", &conflict), ("only", &only), ("set", &set)],
    )
}

/// The condition of rows that are balances in `place`; nothing where all of them are.
fn only(model: &Model, place: &'static str) -> Statement {
    match &model.balances.counted {
        Some(counted) => render(place, &[("counted", &counted.alone)]),
        None => fixed(""),
    }
}

fn set_empty(quantity: &Statement, written: &[&Written]) -> Statement {
    let emptied = written.iter().map(|(column, value)| {
        let value = if column == quantity { fixed("0") } else { value.clone() };
        render("{column} = {value}", &[("column", column), ("value", &value)])
    });
    joined(&emptied.collect::<Vec<_>>(), ", ")
}

/// The one order in which balances are written.
fn order(model: &Model, parts: &[Part<'_>]) -> Statement {
    let order = parts.iter().map(|part| {
        let collation = Fixed(part.key_type.collation());
        render("{d}{collation}", &[("d", &fixed(part.of_d)), ("collation", &collation)])
    });
    let org_order = render("d.org{collation}", &[("collation", &Fixed(model.org_type.collation()))]);
    // Only a lot may be none, and it is the last part of the key.
    let nulls = fixed(if model.ledger.key.lot.is_some() { " NULLS FIRST" } else { "" });
    let order = joined(&std::iter::once(org_order).chain(order).collect::<Vec<_>>(), ", ");
    render("{order}{nulls}", &[("order", &order), ("nulls", &nulls)])
}

/// That the balance `b` is of `d`'s key.
fn is_d(model: &Model, parts: &[Part<'_>]) -> Statement {
    let is_d = std::iter::once(render("b.{org} = d.org", &[("org", &plain(&model.org_column))])).chain(
        parts.iter().map(|part| {
            let value = part.value();
            let fragments: [(&str, &dyn Fragment); 2] = [("column", &part.column.name), ("value", &value)];
            match (part.name, &model.balances.lot_key) {
                ("lot", Some(lot_key)) => {
                    render("b.{lot_key} = {value}", &[("lot_key", lot_key), ("value", &fixed(LOT_KEY))])
                }
                ("lot", None) => render("b.{column} IS NOT DISTINCT FROM {value}", &fragments),
                _ => render("b.{column} = {value}", &fragments),
            }
        }),
    );
    let counted = model.balances.counted.iter().map(|counted| counted.of_b.clone());
    joined(&is_d.chain(counted).collect::<Vec<_>>(), " AND ")
}

/// The query of all balances, one row a key where the table is Stockfoil's own, with what is queued for it.
fn whole_rows(model: &Model, parts: &[Part<'_>]) -> Statement {
    let rows = rows(model, parts, &model.balances.table);
    if !model.balances.has_queue {
        return rows;
    }
    let delta = fixed("q.delta");
    let delta = if model.is_bounded { bounded(&delta) } else { delta };
    let queued = render(queue::ROWS, &[("delta", &delta)]);
    render(
        "SELECT r.org, r.item, r.location, r.lot, sum(r.quantity) AS quantity
FROM (
    {rows}
    UNION ALL
    {queued}
) AS r
GROUP BY 1, 2, 3, 4",
        &[("rows", &rows), ("queued", &queued)],
    )
}

/// The query of the balances of `source`: the table, or rows of its shape.
pub(super) fn rows_of(model: &Model, source: &dyn Fragment) -> Statement {
    rows(model, &parts(model), source)
}

/// The query of the balances of `source`.
fn rows(model: &Model, parts: &[Part<'_>], source: &dyn Fragment) -> Statement {
    let read = |name: &str| {
        parts.iter().find(|part| part.name == name).map(|part| {
            let key_type = Fixed(part.key_type.name());
            let fragments: [(&str, &dyn Fragment); 2] = [("name", &part.column.name), ("type", &key_type)];
            let value = match part.column.cast {
                None => render("{name}", &fragments),
                Some(_) => render("{name}::{type}", &fragments),
            };
            // An adopted table may write no lot as an empty one.
            let is_text_lot = name == "lot" && part.key_type == KeyType::Text && model.balances.is_adopted;
            if is_text_lot { render("nullif({value}, '')", &[("value", &value)]) } else { value }
        })
    };
    let (item, location, lot) = (
        read("item").unwrap_or_else(|| fixed("NULL::text")),
        read("location").unwrap_or_else(|| fixed("''::text")),
        read("lot").unwrap_or_else(|| fixed("NULL::text")),
    );
    let quantity = render("{quantity}::numeric", &[("quantity", &model.balances.quantity)]);
    let quantity = if model.is_bounded { bounded(&quantity) } else { quantity };
    render(
        "SELECT {org} AS org, {item} AS item, {location} AS location, {lot} AS lot, {quantity} AS quantity FROM {source}{only}",
        &[
            ("only", &only(model, " WHERE {counted}")),
            ("org", &model.org_column),
            ("item", &item),
            ("location", &location),
            ("lot", &lot),
            ("quantity", &quantity),
            ("source", source),
        ],
    )
}

/// The columns of the balances' unique key.
pub(crate) fn conflict(model: &Model) -> Vec<Ident> {
    let balances = &model.balances;
    let lot = balances.lot_key.as_ref().or(balances.lot.as_ref().map(|lot| &lot.name));
    [Some(&model.org_column), Some(&balances.item.name), balances.location.as_ref().map(|c| &c.name), lot]
        .into_iter()
        .flatten()
        .cloned()
        .collect()
}
