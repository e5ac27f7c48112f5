//! The ledger's arithmetic: exact quantities, balance keys, and what a difference means. Pure: no I/O.

use std::{cmp::Ordering, fmt, str::FromStr};

use bigdecimal::{BigDecimal, Signed, Zero};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
}
