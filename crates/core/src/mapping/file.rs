//! The mapping's sections of `stockfoil.toml`, as they are written.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

/// `[tenancy]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tenancy {
    pub(super) schemas: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) tables: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) org_column: Option<Spanned<String>>,
    pub(super) org_type: Option<Spanned<String>>,
    pub(super) organizations: Option<Spanned<String>>,
    pub(super) items: Option<Spanned<OrNone<String>>>,
    pub(super) users: Option<OrNone<Users>>,
    pub(super) memberships: Option<Spanned<Memberships>>,
    pub(super) isolation: Isolation,
    pub(super) global_keys: Vec<String>,
    pub(crate) default_org_id: Option<Spanned<String>>,
    pub(crate) default_org_name: Option<String>,
    pub(crate) reserved_subdomains: Vec<String>,
    pub(crate) hold_days: Option<u16>,
}

/// `[tenancy.users]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Users {
    pub(super) table: Option<Spanned<String>>,
    pub(super) id: Option<Spanned<String>>,
    pub(super) email: Option<Spanned<String>>,
}

/// `[tenancy.memberships]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Memberships {
    pub(super) table: Option<Spanned<String>>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) organization: Option<Spanned<String>>,
}

/// `[tenancy.isolation]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Isolation {
    pub(super) app_role: Option<Spanned<String>>,
    pub(super) operations_role: Option<Spanned<String>>,
    pub(super) accepted: Vec<String>,
}

/// `[ledger]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ledger {
    pub(super) table: Option<Spanned<String>>,
    pub(super) id: Option<Spanned<Columns>>,
    pub(super) item: Option<Spanned<Term>>,
    pub(super) location: Option<Spanned<Term>>,
    pub(super) lot: Option<Spanned<Term>>,
    pub(super) quantity: Option<Spanned<Term>>,
    pub(super) created_at: Option<Spanned<Term>>,
    #[serde(rename = "where")]
    pub(super) filter: Option<Spanned<Term>>,
    pub(super) posting: Vec<Posting>,
    pub(super) key_index: Option<bool>,
    pub(super) incremental: Option<bool>,
    pub(super) replicated: Option<bool>,
    pub(super) correction: Option<BTreeMap<String, Spanned<Constant>>>,
}

/// `[[ledger.posting]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Posting {
    pub(super) item: Option<Spanned<Term>>,
    pub(super) location: Option<Spanned<Term>>,
    pub(super) lot: Option<Spanned<Term>>,
    pub(super) quantity: Option<Spanned<Term>>,
}

/// `[balances]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Balances {
    pub(super) table: Option<Spanned<String>>,
    #[serde(rename = "where")]
    pub(super) filter: Option<Spanned<Term>>,
    pub(super) adopt: bool,
    pub(super) kept_by: Option<Spanned<String>>,
    pub(super) hot: Option<Spanned<String>>,
    pub(super) item: Option<Spanned<OrNone<String>>>,
    pub(super) location: Option<Spanned<OrNone<String>>>,
    pub(super) lot: Option<Spanned<OrNone<String>>>,
    pub(super) quantity: Option<Spanned<OrNone<String>>>,
    pub(super) last_ledger_id: Option<Spanned<OrNone<String>>>,
    pub(super) last_updated: Option<Spanned<OrNone<String>>>,
}

/// What a name or table stands for, or `false`: there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OrNone<T> {
    Some(T),
    None,
}

/// A column of the ledger, SQL over a row of it, or `false`: there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Term {
    Column(String),
    Sql(String),
    None,
}

/// One column, or several that together are one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns(pub(super) Vec<String>);

/// What a column always gets, as PostgreSQL reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Constant(pub(super) String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sql {
    sql: String,
}

/// `true` means nothing where a name is wanted.
fn none<T, E: de::Error>(given: bool, absent: T) -> Result<T, E> {
    if given { Err(E::custom("true says nothing here; give a name, or false for none")) } else { Ok(absent) }
}

impl<'de> Deserialize<'de> for OrNone<String> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrFalse;
        impl Visitor<'_> for NameOrFalse {
            type Value = OrNone<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name in quotes, or false for none")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(OrNone::Some(name.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, given: bool) -> Result<Self::Value, E> {
                none(given, OrNone::None)
            }
        }
        deserializer.deserialize_any(NameOrFalse)
    }
}

impl<'de> Deserialize<'de> for OrNone<Users> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TableOrFalse;
        impl<'de> Visitor<'de> for TableOrFalse {
            type Value = OrNone<Users>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a section [tenancy.users] with table, id and email, or false for none")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Users::deserialize(MapAccessDeserializer::new(map)).map(OrNone::Some)
            }

            fn visit_bool<E: de::Error>(self, given: bool) -> Result<Self::Value, E> {
                none(given, OrNone::None)
            }
        }
        deserializer.deserialize_any(TableOrFalse)
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnOrSql;
        impl<'de> Visitor<'de> for ColumnOrSql {
            type Value = Term;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column's name in quotes, { sql = \"...\" }, or false for none")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Term::Column(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Sql::deserialize(MapAccessDeserializer::new(map)).map(|Sql { sql }| Term::Sql(sql))
            }

            fn visit_bool<E: de::Error>(self, given: bool) -> Result<Self::Value, E> {
                none(given, Term::None)
            }
        }
        deserializer.deserialize_any(ColumnOrSql)
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Columns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column's name, or a list of them")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Columns(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
                let mut columns = Vec::new();
                while let Some(name) = names.next_element()? {
                    columns.push(name);
                }
                if columns.is_empty() {
                    return Err(de::Error::custom("an empty list names no column; give at least one"));
                }
                Ok(Columns(columns))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Constant;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes, a whole number, or true or false")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Constant(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Constant(number.to_string()))
            }

            fn visit_bool<E: de::Error>(self, given: bool) -> Result<Self::Value, E> {
                Ok(Constant(given.to_string()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}
