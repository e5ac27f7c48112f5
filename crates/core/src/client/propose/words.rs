//! What the names of tables and columns say.

/// Words for what is moved.
pub(super) const ITEM: &[&str] =
    &["item", "product", "article", "sku", "part", "material", "variant", "component", "good"];

/// Words for where it is, the closest place first.
pub(super) const LOCATION: &[&str] = &[
    "bin",
    "slot",
    "shelf",
    "rack",
    "silo",
    "location",
    "loc",
    "place",
    "zone",
    "warehouse",
    "depot",
    "store",
    "facility",
    "site",
    "branch",
];

/// Words for a quantity of one making.
pub(super) const LOT: &[&str] = &["lot", "batch", "serial"];

/// Words for a number of units, the plainest first.
pub(super) const QUANTITY: &[&str] = &[
    "quantity", "qty", "delta", "change", "net", "unit", "amount", "weight", "volume", "pieces", "kg",
    "count",
];

/// Words for numbers that are no stock.
pub(super) const NO_QUANTITY: &[&str] = &[
    "price",
    "cost",
    "value",
    "rate",
    "tax",
    "min",
    "minimum",
    "max",
    "maximum",
    "reorder",
    "level",
    "threshold",
    "line",
    "number",
    "no",
    "sequence",
    "seq",
    "version",
    "position",
    "reserved",
    "percent",
    "gross",
    "tare",
    "id",
    "year",
];

/// Words for the place that is taken from.
pub(super) const FROM: &[&str] = &["from", "source", "src", "origin"];

/// Words for the place that is given to.
pub(super) const TO: &[&str] = &["to", "dest", "destination", "target"];

/// Words for a column that says which way a quantity goes.
pub(super) const DIRECTION: &[&str] =
    &["direction", "type", "kind", "way", "sign", "inout", "inbound", "outbound"];

/// Values that mean in.
pub(super) const IN: &[&str] =
    &["in", "i", "+", "+1", "1", "inbound", "incoming", "receipt", "receive", "received", "input"];

/// Values that mean out.
pub(super) const OUT: &[&str] =
    &["out", "o", "-", "-1", "outbound", "outgoing", "issue", "issued", "output", "shipment", "delivery"];

/// Words for a column that says how far an entry has come.
pub(super) const STATE: &[&str] = &["state", "status"];

/// Values that mean that an entry counts, the surest first.
pub(super) const COUNTS: &[&str] =
    &["done", "posted", "booked", "completed", "complete", "final", "finished", "validated", "approved"];

/// Words for a column whose value takes an entry back.
pub(super) const TAKEN_BACK: &[&str] = &["deleted", "voided", "void", "cancelled", "canceled"];

/// Words for when an entry was made, the surest first.
pub(super) const MADE: &[&str] = &[
    "created", "create", "booked", "posted", "recorded", "occurred", "moved", "entered", "weighed", "date",
    "time", "at", "on",
];

/// Words for other times.
pub(super) const NOT_MADE: &[&str] = &[
    "updated",
    "modified",
    "write",
    "changed",
    "expires",
    "expiry",
    "due",
    "valid",
    "scheduled",
    "planned",
    "until",
    "closed",
];

/// Words for a table that only grows.
pub(super) const LEDGER: &[&str] =
    &["ledger", "movement", "move", "transaction", "entry", "journal", "posting", "moves"];

/// Words for a table that has to do with stock.
pub(super) const STOCK: &[&str] = &["stock", "inventory", "warehouse"];

/// Words for a table that is something else.
pub(super) const NO_LEDGER: &[&str] = &[
    "count", "line", "order", "price", "reorder", "level", "balance", "quant", "snapshot", "forecast",
    "plan", "audit", "setting",
];

/// Words for a table of balances.
pub(super) const BALANCE: &[&str] =
    &["balance", "quant", "onhand", "hand", "stock", "inventory", "level", "availability"];

/// Words for the people who use an application.
pub(super) const USER: &[&str] =
    &["user", "account", "member", "employee", "person", "people", "staff", "operator", "profile"];

/// Words for people and companies outside.
pub(super) const OUTSIDER: &[&str] =
    &["customer", "supplier", "vendor", "contact", "partner", "lead", "subscriber"];

/// Words for an address.
pub(super) const EMAIL: &[&str] = &["email", "mail"];

/// Words for a name that people log in with.
pub(super) const LOGIN: &[&str] = &["login", "username"];

/// Words for tables that are the same for everybody.
pub(super) const SHARED: &[&str] =
    &["country", "currency", "language", "timezone", "uom", "calendar", "holiday", "migration"];

/// Which of `words` is in `name`, by its place in `words`; the first there is.
pub(super) fn find(name: &str, words: &[&str]) -> Option<usize> {
    let parts = parts(name);
    words.iter().position(|word| parts.iter().any(|part| part == word || singular(part) == *word))
}

/// Whether one of `words` is in `name`.
pub(super) fn has(name: &str, words: &[&str]) -> bool {
    find(name, words).is_some()
}

/// The words of a name in lower case: `stockMove_v2 "Qty"` is `stock`, `move`, `v2`, `qty`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut last_lower = false;
    for letter in name.chars() {
        let is_letter = letter.is_alphanumeric();
        if !is_letter || (letter.is_uppercase() && last_lower) {
            parts.push(String::new());
        }
        if is_letter && let Some(part) = parts.last_mut() {
            part.extend(letter.to_lowercase());
        }
        last_lower = letter.is_lowercase();
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// An English plural's singular, roughly: enough to find a word in a list.
fn singular(word: &str) -> String {
    match (word.strip_suffix("ies"), word.strip_suffix('s')) {
        (Some(stem), _) => format!("{stem}y"),
        (None, Some(stem)) => stem.to_owned(),
        (None, None) => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(parts("StockMovement"), ["stock", "movement"]);
        assert_eq!(parts("to \"silo\""), ["to", "silo"]);
        assert_eq!(parts("e-mail_2"), ["e", "mail", "2"]);
        assert_eq!(parts("SKU"), ["sku"]);
        assert_eq!(parts("çevreÖlçü"), ["çevre", "ölçü"]);
    }

    #[test]
    fn plurals_are_found_too() {
        assert!(has("stock_entries", LEDGER));
        assert!(has("Items", ITEM));
        assert!(has("status", STATE));
        assert!(!has("participants", ITEM));
        assert_eq!(find("warehouse_bin", LOCATION), Some(0));
    }
}
