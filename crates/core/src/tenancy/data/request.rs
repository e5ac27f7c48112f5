//! Which rows somebody asks to be given to whom.

use std::collections::BTreeSet;

use super::{
    super::{Settings, TenancyError, condition::Condition},
    DataError,
};
use crate::org_id::OrgId;

/// Which rows to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Of the table that the ledger has its locations from.
    Locations(Condition),
    /// Of the table of items.
    Items(Condition),
    /// Of any tenant table.
    Rows {
        /// The table's name.
        table: String,
        /// Which rows.
        condition: Condition,
    },
    /// By their primary keys.
    Ids {
        /// The table's name.
        table: String,
        /// The keys; where a key has several columns, their values with a tab between them.
        ids: BTreeSet<String>,
    },
    /// People, by their primary keys as the records write them.
    People(BTreeSet<String>),
    /// All that the organization that gives has.
    Everything,
}

impl Selector {
    /// The selectors that flags ask for: conditions on locations and items, `rows` such as `TABLE where CONDITION`, and
    /// `ids`, tables with the text of their files.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn of(
        locations: Vec<Condition>,
        items: Vec<Condition>,
        rows: &[String],
        ids: &[(String, String)],
    ) -> Result<Vec<Self>, DataError> {
        let mut selectors: Vec<Self> = locations.into_iter().map(Self::Locations).collect();
        selectors.extend(items.into_iter().map(Self::Items));
        for text in rows {
            selectors.push(Self::rows(text)?);
        }
        selectors.extend(ids.iter().map(|(table, text)| Self::ids(table, text)));
        Ok(selectors)
    }

    /// Reads `TABLE where CONDITION`.
    ///
    /// # Errors
    /// [`DataError::NoTable`] and [`DataError::Condition`].
    pub fn rows(text: &str) -> Result<Self, DataError> {
        let lower = text.to_ascii_lowercase();
        // A quoted name may hold the word: the first place outside quotes counts.
        let place = lower.match_indices(" where ").map(|(at, _)| at);
        let outside = |at: &usize| text[..*at].matches('"').count().is_multiple_of(2);
        let at = place.into_iter().find(outside).ok_or_else(|| DataError::NoTable(text.to_owned()))?;
        let condition = text[at + " where ".len()..].parse()?;
        Ok(Self::Rows { table: text[..at].trim().to_owned(), condition })
    }

    /// The rows of `table` whose keys `text` holds, one a line.
    pub fn ids(table: &str, text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Self::Ids { table: table.to_owned(), ids: lines.map(str::to_owned).collect() }
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Locations(condition) => write!(f, "locations where {condition}"),
            Self::Items(condition) => write!(f, "items where {condition}"),
            Self::Rows { table, condition } => write!(f, "{table} where {condition}"),
            Self::Ids { table, ids } => write!(f, "{} ids of {table} ({:08x})", ids.len(), sum(ids)),
            Self::People(keys) => write!(f, "{} people ({:08x})", keys.len(), sum(keys)),
            Self::Everything => write!(f, "everything"),
        }
    }
}

/// What tells these ids from others.
fn sum(ids: &BTreeSet<String>) -> u32 {
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    crate::sql::fnv1a(all.join("\n").as_bytes())
}

/// Who gives.
#[derive(Debug, Clone)]
pub struct Giver {
    /// The organization.
    pub org: OrgId,
    /// Whether it is the default one because none was named.
    pub is_default: bool,
}

/// Rows to give to an organization.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Where to.
    pub org: OrgId,
    /// Which rows; all of these together.
    pub selectors: Vec<Selector>,
    /// Where from.
    pub from: Giver,
    /// Whether people move with the rows that refer to them, as all other rows do.
    pub with_people: bool,
    /// Whether shared items are copied.
    pub copies_shared_items: bool,
    /// Further tables whose shared rows are copied.
    pub copies_shared: Vec<String>,
    /// How many rows must move; with any other number, none does.
    pub expect: Option<u64>,
    /// Only say what would move.
    pub dry_run: bool,
    /// How many rows move in one transaction.
    pub batch_rows: u32,
}

impl Assignment {
    /// What the selectors select, and nothing of it twice: what is shared stays, and people do.
    pub fn new(org: OrgId, from: Giver, selectors: Vec<Selector>) -> Self {
        Self {
            org,
            from,
            selectors,
            with_people: false,
            copies_shared_items: false,
            copies_shared: Vec::new(),
            expect: None,
            dry_run: false,
            batch_rows: super::BATCH_ROWS,
        }
    }

    /// People whose primary keys these are, as the records write them, with everything that belongs to them.
    pub fn of_people(org: OrgId, from: Giver, keys: BTreeSet<String>) -> Self {
        Self { with_people: true, ..Self::new(org, from, vec![Selector::People(keys)]) }
    }

    /// The same with copies of shared items, if it is said, and of shared rows of `tables`.
    pub fn copying(self, items: bool, tables: Vec<String>) -> Self {
        Self { copies_shared_items: items, copies_shared: tables, ..self }
    }

    /// Checks what can be checked without a database.
    ///
    /// # Errors
    /// [`DataError`] for what can't be meant.
    pub fn check(&self) -> Result<(), DataError> {
        if self.selectors.is_empty() {
            return Err(DataError::NoSelection);
        }
        if self.batch_rows == 0 {
            return Err(DataError::EmptyBatch);
        }
        if self.org == self.from.org {
            return Err(DataError::SameOrganization(self.org.clone()));
        }
        Ok(())
    }

    /// The organization that gives unless another one is named: the default one.
    ///
    /// # Errors
    /// [`TenancyError`] where its id is none.
    pub fn giver(from: Option<OrgId>, config: &Settings) -> Result<Giver, TenancyError> {
        match from {
            Some(org) => Ok(Giver { org, is_default: false }),
            None => Ok(Giver { org: OrgId::new(&config.default_org_id)?, is_default: true }),
        }
    }

    /// Whether it is all that the organization that gives has.
    pub(super) fn takes_everything(&self) -> bool {
        self.selectors.contains(&Selector::Everything)
    }

    /// What a run that goes on with a killed one must have in common with it.
    pub(super) fn identity(&self) -> serde_json::Value {
        let mut identity = serde_json::json!({
            "org_id": self.org, "from": self.from.org,
            "selectors": self.selectors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "copy_shared_items": self.copies_shared_items, "copy_shared": self.copies_shared,
        });
        if self.with_people {
            identity["with_people"] = true.into();
        }
        identity
    }
}
