//! SQL of what entries added up to at a time, which the command and the functions of the database share.

use crate::{
    model::Model,
    org_id::KeyType,
    sql::{Fixed, Fragment, Statement},
};

/// What the entries at or before `at` add up to, by key (`org, item, location, lot, quantity, not_a_number, undated`), of
/// those of which `only` holds, a condition over the alias `e` of a query of entries.
pub(super) fn sums(model: &Model, only: &dyn Fragment, at: &dyn Fragment) -> Statement {
    model.render_with(include_str!("as_of/sums.sql"), &[("only", only), ("at", at)])
}

/// That an entry is of the key whose parts are `values` (organization, item, location, lot), each an expression of the
/// balances' type; the last is left out where the key has no lot. Every part is compared as the ledger has it, so that the
/// key index serves.
pub(super) fn of_key(model: &Model, values: [&dyn Fragment; 4], has_lot: bool) -> Statement {
    let [org, item, location, lot] = values;
    let of_lot = if has_lot {
        "{e.own_lot} = {lot}"
    } else if is_empty_none(model) {
        "({e.own_lot} IS NULL OR {e.own_lot} = '')"
    } else {
        "{e.own_lot} IS NULL"
    };
    let of_lot = model.render_with(of_lot, &[("lot", lot)]);
    model.render_with(
        "e.org = {org} AND {e.item} = {item} AND {e.location} = {location} AND {of_lot}",
        &[("org", org), ("item", item), ("location", location), ("of_lot", &of_lot)],
    )
}

/// Whether an empty lot is no lot.
fn is_empty_none(model: &Model) -> bool {
    matches!(model.ledger.key.lot, None | Some(KeyType::Text))
}

/// Whether the parameter `$4` is a lot.
pub(super) fn has_lot(model: &Model) -> Fixed {
    Fixed(if is_empty_none(model) { "$4 <> ''" } else { "$4 IS NOT NULL" })
}

/// The parameter `$3` as a location: where a ledger has none, whatever says so is the one that there is.
pub(super) fn location(model: &Model) -> Fixed {
    Fixed(if model.ledger.key.location.is_some() { "$3" } else { "coalesce($3, '')" })
}

/// The parameters `$1` to `$4`, bound as text.
pub(super) fn key_as_text(model: &Model) -> [Statement; 4] {
    [
        model.render("$1::text::{org.type}"),
        model.render("$2::text::{item.type}"),
        model.render("$3::text::{location.type}"),
        model.render("$4::text::{lot.type}"),
    ]
}
