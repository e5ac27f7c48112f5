//! The ledger's arithmetic: exact quantities, balance keys, and what a difference means. Pure: no I/O.

use std::{
    borrow::Cow,
    cmp::Ordering,
    fmt::{self, Write as _},
    str::FromStr,
};

use bigdecimal::{BigDecimal, Signed, Zero};
use percent_encoding::{percent_decode_str, percent_encode_byte};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::org_id::OrgId;

/// An exact signed quantity in an item's canonical unit, of any size.
///
/// PostgreSQL's `numeric` holds values that no fixed-width decimal does, and three that are not numbers at
/// all; each of them is kept as it is, so that a strange ledger is reported and not rounded. Displays and
/// serializes as plain decimal text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// A number.
    Finite(BigDecimal),
    /// `NaN`.
    NotANumber,
    /// `Infinity`.
    Infinity,
    /// `-Infinity`.
    NegativeInfinity,
}

/// A text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a quantity; give a decimal number such as 0.01")]
pub struct QuantityError(String);

impl Quantity {
    /// Nothing.
    pub fn zero() -> Self {
        Self::Finite(BigDecimal::zero())
    }

    /// 0.01, the default tolerance.
    pub fn hundredth() -> Self {
        Self::Finite(BigDecimal::new(1.into(), 2))
    }

    /// Whether this is a number.
    pub fn is_finite(&self) -> bool {
        matches!(self, Self::Finite(_))
    }

    /// Whether this is exactly zero.
    pub fn is_zero(&self) -> bool {
        matches!(self, Self::Finite(number) if number.is_zero())
    }

    /// Whether this is below zero.
    pub fn is_negative(&self) -> bool {
        match self {
            Self::Finite(number) => number.is_negative(),
            Self::NegativeInfinity => true,
            Self::NotANumber | Self::Infinity => false,
        }
    }

    /// `self - other`, with PostgreSQL's rules for what is not a number.
    pub fn minus(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Finite(a), Self::Finite(b)) => Self::Finite(a - b),
            (Self::NotANumber, _)
            | (_, Self::NotANumber)
            | (Self::Infinity, Self::Infinity)
            | (Self::NegativeInfinity, Self::NegativeInfinity) => Self::NotANumber,
            (Self::Infinity, _) | (_, Self::NegativeInfinity) => Self::Infinity,
            (Self::NegativeInfinity, _) | (_, Self::Infinity) => Self::NegativeInfinity,
        }
    }

    /// Compares the absolute value with a finite `bound`; what is not a number is greater than any.
    pub fn abs_cmp(&self, bound: &Self) -> Ordering {
        match (self, bound) {
            (Self::Finite(a), Self::Finite(b)) => a.abs().cmp(b),
            _ => Ordering::Greater,
        }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "NaN" => Ok(Self::NotANumber),
            "Infinity" => Ok(Self::Infinity),
            "-Infinity" => Ok(Self::NegativeInfinity),
            // An exponent could ask for gigabytes of digits; numeric never prints one.
            _ if text.is_empty() || text.contains(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+')) => {
                Err(QuantityError(text.to_owned()))
            }
            _ => text.parse().map(Self::Finite).map_err(|_| QuantityError(text.to_owned())),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite(number) => f.pad(&number.normalized().to_plain_string()),
            Self::NotANumber => f.pad("NaN"),
            Self::Infinity => f.pad("Infinity"),
            Self::NegativeInfinity => f.pad("-Infinity"),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Text only: a TOML or JSON number has already been through a float.
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a balance is kept for: one item in one place, by lot where there are lots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct BalanceKey {
    /// Whose it is.
    pub org_id: OrgId,
    /// The item.
    pub item_id: String,
    /// The location.
    pub location_id: String,
    /// The lot; an empty one is none.
    pub lot_id: Option<String>,
}

/// A text is not a balance's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a balance's key; write ORGANIZATION/ITEM/LOCATION/LOT as findings print it, without /LOT where there is none"
)]
pub struct BalanceKeyError(String);

/// `organization/item/location/lot`, as commands print it and take it: without the lot where there is none, and
/// without the location where there are no locations. What is neither a letter, a digit nor one of `-_.,:@+=` is
/// percent-encoded, so that a shell takes the text for one word and `/` parts it.
impl fmt::Display for BalanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { org_id, item_id, location_id, lot_id } = self;
        write_part(f, org_id.as_str())?;
        let location = (!location_id.is_empty() || lot_id.is_some()).then_some(location_id);
        for part in [Some(item_id), location, lot_id.as_ref()].into_iter().flatten() {
            f.write_str("/")?;
            write_part(f, part)?;
        }
        Ok(())
    }
}

fn write_part(f: &mut fmt::Formatter<'_>, part: &str) -> fmt::Result {
    for c in part.chars() {
        if c.is_alphanumeric() || "-_.,:@+=".contains(c) {
            f.write_char(c)?;
        } else {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().try_for_each(|byte| f.write_str(percent_encode_byte(byte)))?;
        }
    }
    Ok(())
}

impl FromStr for BalanceKey {
    type Err = BalanceKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || BalanceKeyError(text.to_owned());
        let parts: Vec<String> = text
            .split('/')
            .map(|part| percent_decode_str(part).decode_utf8().map(Cow::into_owned))
            .collect::<Result<_, _>>()
            .map_err(|_| wrong())?;
        let (org_id, item_id, location_id, lot_id) = match parts.as_slice() {
            [org, item] => (org, item, "", ""),
            [org, item, location] => (org, item, location.as_str(), ""),
            [org, item, location, lot] => (org, item, location.as_str(), lot.as_str()),
            _ => return Err(wrong()),
        };
        Ok(Self {
            org_id: OrgId::new(org_id).map_err(|_| wrong())?,
            item_id: item_id.clone(),
            location_id: location_id.to_owned(),
            // An empty lot is none.
            lot_id: (!lot_id.is_empty()).then(|| lot_id.to_owned()),
        })
    }
}

/// What the ledger and the balances say of one key, in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discrepancy {
    /// The key.
    #[serde(flatten)]
    pub key: BalanceKey,
    /// The sum of its entries; none when it has no entry.
    pub ledger_qty: Option<Quantity>,
    /// Its balance; none when it has no row.
    pub balance_qty: Option<Quantity>,
}

/// What a [`Discrepancy`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Ledger and balance agree.
    None,
    /// They differ by less than the tolerance.
    Small,
    /// They differ by the tolerance or more.
    Large,
    /// A balance whose key has no entry.
    Orphan,
    /// Entries whose key has no balance.
    Missing,
    /// One of them is no number, so there is no difference to speak of.
    NotANumber,
}

impl Kind {
    /// The name in `stockfoil.finding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::None => "none",
            Kind::Small => "small",
            Kind::Large => "large",
            Kind::Orphan => "orphan",
            Kind::Missing => "missing",
            Kind::NotANumber => "not_a_number",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Discrepancy {
    /// What must be added to the balance to make it the sum of its entries: the drift.
    pub fn drift(&self) -> Quantity {
        let zero = Quantity::zero();
        self.ledger_qty.as_ref().unwrap_or(&zero).minus(self.balance_qty.as_ref().unwrap_or(&zero))
    }

    /// Which kind it is. A difference of exactly `tolerance` is not small.
    pub fn classify(&self, tolerance: &Quantity) -> Kind {
        let drift = self.drift();
        match (&self.ledger_qty, &self.balance_qty) {
            _ if !drift.is_finite() => Kind::NotANumber,
            (None, None) => Kind::None,
            (None, Some(_)) => Kind::Orphan,
            (Some(_), None) => Kind::Missing,
            (Some(_), Some(_)) if drift.is_zero() => Kind::None,
            (Some(_), Some(_)) if drift.abs_cmp(tolerance) == Ordering::Less => Kind::Small,
            (Some(_), Some(_)) => Kind::Large,
        }
    }

    /// Whether a run mends it on its own: small ones, and missing rows that are small or hold nothing.
    pub fn is_mended_unasked(&self, tolerance: &Quantity) -> bool {
        let drift = self.drift();
        match self.classify(tolerance) {
            Kind::Small => true,
            Kind::Missing => drift.is_zero() || drift.abs_cmp(tolerance) == Ordering::Less,
            Kind::None | Kind::Large | Kind::Orphan | Kind::NotANumber => false,
        }
    }

    /// Whether it is a row of zero for a key whose last entry is gone, which is in order.
    pub fn is_empty_row(&self) -> bool {
        self.ledger_qty.is_none() && self.balance_qty.as_ref().is_some_and(Quantity::is_zero)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_keep_every_digit() {
        for text in ["0.01", "-12345678901234567890123456789012345678.123456789", "NaN", "-Infinity"] {
            assert_eq!(text.parse::<Quantity>().unwrap().to_string(), text);
        }
        for text in ["", "1e9", "one", "0x1", "1.2.3"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    fn discrepancy(ledger: Option<&str>, balance: Option<&str>) -> Discrepancy {
        let quantity = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        Discrepancy {
            key: BalanceKey {
                org_id: OrgId::new("acme").unwrap(),
                item_id: "bolt".into(),
                location_id: "l1".into(),
                lot_id: None,
            },
            ledger_qty: quantity(ledger),
            balance_qty: quantity(balance),
        }
    }

    #[test]
    fn kinds_hold_at_their_edges() {
        let long = "1234567890123456789012345678901234567890";
        for (ledger, balance, tolerance, kind, mended) in [
            (Some("5"), Some("5.000"), "0.01", Kind::None, false),
            (Some("5.0099999"), Some("5"), "0.01", Kind::Small, true),
            (Some("5"), Some("5.0099999"), "0.01", Kind::Small, true),
            (Some("5.01"), Some("5"), "0.01", Kind::Large, false),
            (Some("-5.01"), Some("-5"), "0.01", Kind::Large, false),
            (Some("5"), Some("5.000001"), "0", Kind::Large, false),
            (Some(long), Some("1234567890123456789012345678901234567889"), "1", Kind::Large, false),
            (Some(long), Some("1234567890123456789012345678901234567889"), "1.1", Kind::Small, true),
            (Some("0"), None, "0", Kind::Missing, true),
            (Some("0.009"), None, "0.01", Kind::Missing, true),
            (Some("0.01"), None, "0.01", Kind::Missing, false),
            (None, Some("0.001"), "0.01", Kind::Orphan, false),
            (None, Some("0"), "0.01", Kind::Orphan, false),
            (Some("NaN"), Some("5"), "0.01", Kind::NotANumber, false),
            (Some("NaN"), None, "0.01", Kind::NotANumber, false),
            (Some("Infinity"), Some("Infinity"), "0.01", Kind::NotANumber, false),
            (Some("5"), Some("-Infinity"), "0.01", Kind::NotANumber, false),
            (None, None, "0.01", Kind::None, false),
        ] {
            let difference = discrepancy(ledger, balance);
            let tolerance = tolerance.parse().unwrap();
            assert_eq!(difference.classify(&tolerance), kind, "{difference:?}");
            assert_eq!(difference.is_mended_unasked(&tolerance), mended, "{difference:?}");
        }
        assert!(discrepancy(None, Some("0.00")).is_empty_row());
        assert!(!discrepancy(Some("0"), Some("0")).is_empty_row());
    }

    #[test]
    fn keys_are_one_word_and_read_back() {
        let key = |org: &str, item: &str, location: &str, lot: Option<&str>| BalanceKey {
            org_id: OrgId::new(org).unwrap(),
            item_id: item.into(),
            location_id: location.into(),
            lot_id: lot.map(Into::into),
        };
        for (key, text) in [
            (key("acme", "bolt", "l1", Some("A")), "acme/bolt/l1/A"),
            (key("acme", "bolt", "l1", None), "acme/bolt/l1"),
            (key("acme", "bolt", "", None), "acme/bolt"),
            (key("acme", "bolt", "", Some("A")), "acme/bolt//A"),
            (key("a.b-c", "", "l1", None), "a.b-c//l1"),
            (key("acme", "Ä-ring 3/4\"", "$(rm)", Some("50%")), "acme/Ä-ring%203%2F4%22/%24%28rm%29/50%25"),
            (key("1", "\u{a0}€", "-1", None), "1/%C2%A0%E2%82%AC/-1"),
        ] {
            assert_eq!(key.to_string(), text);
            assert_eq!(text.parse(), Ok(key));
        }
        assert_eq!("acme/bolt/l1/".parse(), Ok(key("acme", "bolt", "l1", None)));
        for text in ["", "acme", "acme/bolt/l1/A/x", "not an id/bolt", "/bolt", "acme/%ff"] {
            assert!(text.parse::<BalanceKey>().is_err(), "{text}");
        }
    }

    mod laws {
        use std::collections::BTreeMap;

        use proptest::{collection::vec, prelude::*};

        use super::*;

        /// Quantities of up to 18 digits with up to 6 of them behind the point.
        fn quantity() -> impl Strategy<Value = Quantity> {
            (-10_i64.pow(18)..10_i64.pow(18), 0..=6_i64)
                .prop_map(|(digits, scale)| Quantity::Finite(BigDecimal::new(digits.into(), scale)))
        }

        fn sum<'a>(quantities: impl IntoIterator<Item = &'a Quantity>) -> Quantity {
            quantities
                .into_iter()
                .fold(Quantity::zero(), |sum, quantity| sum.minus(&Quantity::zero().minus(quantity)))
        }

        proptest! {
            /// Entries that arrive in any order, in statements of any size, each of which adds its sum by key,
            /// leave each key with the sum of its entries.
            #[test]
            fn a_balance_is_the_sum_of_its_entries(
                entries in vec((0..5_u8, quantity()), 0..60),
                order in any::<u64>(),
                sizes in vec(1..9_usize, 60),
            ) {
                let mut shuffled = entries.clone();
                shuffled.sort_by_key(|(key, quantity)| {
                    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
                    let mut hasher = DefaultHasher::new();
                    (order, key, quantity).hash(&mut hasher);
                    hasher.finish()
                });
                let mut balances: BTreeMap<u8, Quantity> = BTreeMap::new();
                let mut rest = shuffled.as_slice();
                for size in sizes {
                    let (statement, later) = rest.split_at(size.min(rest.len()));
                    rest = later;
                    for key in 0..5 {
                        let delta = sum(statement.iter().filter(|(k, _)| *k == key).map(|(_, q)| q));
                        let balance = balances.entry(key).or_insert_with(Quantity::zero);
                        *balance = sum([&*balance, &delta]);
                    }
                }
                for (key, balance) in balances {
                    let entries = sum(entries.iter().filter(|(k, _)| *k == key).map(|(_, q)| q));
                    prop_assert!(balance.minus(&entries).is_zero(), "{key}: {balance} is not {entries}");
                }
            }

            /// What is printed of a key is read as the same key, whatever its parts hold.
            #[test]
            fn keys_read_back(item in any::<String>(), location in any::<String>(), lot in proptest::option::of(".+")) {
                let key = BalanceKey { item_id: item, location_id: location, lot_id: lot, ..discrepancy(None, None).key };
                prop_assert_eq!(key.to_string().parse(), Ok(key));
            }

            /// Drift that was seen once mends the balance whatever is written in between.
            #[test]
            fn drift_stays_true(ledger in quantity(), balance in quantity(), written in quantity()) {
                let seen = Discrepancy { ledger_qty: Some(ledger.clone()), balance_qty: Some(balance.clone()), ..discrepancy(None, None) };
                let (ledger, balance) = (sum([&ledger, &written]), sum([&balance, &written]));
                prop_assert!(sum([&balance, &seen.drift()]).minus(&ledger).is_zero());
            }

            /// A difference is of exactly one kind, by its size and never by its sign.
            #[test]
            fn the_sign_does_not_matter(ledger in quantity(), balance in quantity(), tolerance in quantity()) {
                let tolerance = if tolerance.is_negative() { Quantity::zero().minus(&tolerance) } else { tolerance };
                let one = Discrepancy { ledger_qty: Some(ledger), balance_qty: Some(balance), ..discrepancy(None, None) };
                let other = Discrepancy { ledger_qty: one.balance_qty.clone(), balance_qty: one.ledger_qty.clone(), key: one.key.clone() };
                prop_assert_eq!(one.classify(&tolerance), other.classify(&tolerance));
                let small = one.drift().abs_cmp(&tolerance) == Ordering::Less && !one.drift().is_zero();
                prop_assert_eq!(one.classify(&tolerance) == Kind::Small, small);
            }
        }
    }
}
