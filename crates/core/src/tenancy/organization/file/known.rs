//! The organizations that are there, beside those that a file lists.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::Asked;
use crate::{Error, db::Context as _, model::Model, org_id::OrgId, tenancy::TenancyError};

/// What becomes of a line.
pub(super) enum Found<'a> {
    /// The organization is there, as the line has it.
    Present(&'a OrgId),
    /// What is wrong with it.
    Wrong(String),
    /// There is none yet.
    New,
}

/// The organizations that are there.
pub(super) struct Known {
    all: Vec<Row>,
    /// By their ids in small letters.
    by_id: BTreeMap<String, usize>,
    by_subdomain: BTreeMap<String, usize>,
    by_name: BTreeMap<String, Vec<usize>>,
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: OrgId,
    name: String,
    subdomain: Option<String>,
}

impl Known {
    pub(super) async fn read(connection: &mut PgConnection, model: &Model) -> Result<Self, Error> {
        let statement =
            model.render("SELECT id::text AS id, name, subdomain FROM {organizations} ORDER BY 1");
        let all: Vec<Row> =
            sqlx::query_as(statement.sql()).fetch_all(connection).await.context("read the organizations")?;
        let (mut by_id, mut by_subdomain) = (BTreeMap::new(), BTreeMap::new());
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, row) in all.iter().enumerate() {
            by_id.insert(row.id.as_str().to_ascii_lowercase(), place);
            by_subdomain.extend(row.subdomain.clone().map(|label| (label, place)));
            by_name.entry(row.name.clone()).or_default().push(place);
        }
        Ok(Self { all, by_id, by_subdomain, by_name })
    }

    fn of_id(&self, id: &str) -> Option<&Row> {
        self.by_id.get(&id.to_ascii_lowercase()).map(|place| &self.all[*place])
    }

    fn of_subdomain(&self, label: &str) -> Option<&Row> {
        self.by_subdomain.get(label).map(|place| &self.all[*place])
    }

    /// What becomes of a line that asks for an organization.
    pub(super) fn look(&self, asked: &Asked) -> Found<'_> {
        match (asked.id(), asked.subdomain()) {
            (Some(id), _) => match self.of_id(id.as_str()) {
                Some(row) if row.id == *id => same(row, asked),
                Some(Row { id: other, name, .. }) => {
                    let (id, other, other_name) = (id.to_string(), other.clone(), name.clone());
                    Found::Wrong(TenancyError::IdDiffersInCase { id, other, other_name }.to_string())
                }
                None => self.names(asked),
            },
            (None, Some(label)) => match self.of_subdomain(label) {
                Some(row) => same(row, asked),
                None => self.names(asked),
            },
            (None, None) => self.of_name(asked),
        }
    }

    /// One of which the line gives nothing but the name, which several may have.
    fn of_name(&self, asked: &Asked) -> Found<'_> {
        let places = self.by_name.get(&asked.new.name).map(Vec::as_slice).unwrap_or_default();
        let rows: Vec<&Row> = places.iter().map(|place| &self.all[*place]).collect();
        let plain: Vec<&&Row> = rows.iter().filter(|row| row.subdomain.is_none()).collect();
        match (plain.as_slice(), rows.as_slice()) {
            ([row], _) => Found::Present(&row.id),
            ([], []) => Found::New,
            ([], [row, ..]) => same(row, asked),
            _ => Found::Wrong(format!(
                "{} organizations have the name {:?}; give the line an id or a subdomain",
                plain.len(),
                asked.new.name
            )),
        }
    }

    /// Whether what a new organization is called by is another's.
    fn names(&self, asked: &Asked) -> Found<'_> {
        if let Some(label) = asked.subdomain() {
            if self.of_subdomain(label).is_some() {
                return Found::Wrong(TenancyError::SubdomainTaken(label.to_owned()).to_string());
            }
            if let Some(Row { id, name, .. }) = self.of_id(label) {
                let (subdomain, other, other_name) = (label.to_owned(), id.clone(), name.clone());
                return Found::Wrong(
                    TenancyError::SubdomainIsId { subdomain, other, other_name }.to_string(),
                );
            }
        }
        let id = asked.id().map(|id| id.as_str().to_ascii_lowercase());
        match id.and_then(|id| self.of_subdomain(&id)) {
            Some(Row { id: other, name, .. }) => {
                let id = asked.id().map(ToString::to_string).unwrap_or_default();
                let (other, other_name) = (other.clone(), name.clone());
                Found::Wrong(TenancyError::IdIsSubdomain { id, other, other_name }.to_string())
            }
            None => Found::New,
        }
    }
}

/// The organization that is there, if it is as the line has it.
fn same<'a>(row: &'a Row, asked: &Asked) -> Found<'a> {
    if row.name == asked.new.name && row.subdomain.as_deref() == asked.subdomain() {
        return Found::Present(&row.id);
    }
    let label =
        |label: Option<&str>| label.map_or_else(|| "no subdomain".into(), |l| format!("the subdomain {l:?}"));
    Found::Wrong(format!(
        "organization {} is there already, with the name {:?} and {}, and not {:?} and {}; correct the line, or change it by org-update",
        row.id,
        row.name,
        label(row.subdomain.as_deref()),
        asked.new.name,
        label(asked.subdomain())
    ))
}
