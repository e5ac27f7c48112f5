//! Listing organizations with what they have.

use serde::Serialize;

use super::{Stored, require};
use crate::{
    Task,
    db::{Context as _, Db},
    mapping::Mapping,
    model::Model,
    org_id::OrgId,
    report::{Metric, Outcome, Report},
    rows::public::organizations,
    sql::{Fixed, Fragment, Ident, QualifiedName, Statement, render},
    timestamp::Timestamp,
};

/// An organization with what belongs to it.
#[derive(Debug, Serialize)]
pub struct OrgSummary {
    /// Its id.
    pub id: OrgId,
    /// Its name.
    pub name: String,
    /// Its subdomain.
    pub subdomain: Option<String>,
    /// Whether it can be used.
    pub is_active: bool,
    /// How many users it has; none where the database has no table of them.
    pub users: Option<i64>,
    /// How many items it has; none where the database has no table of them.
    pub items: Option<i64>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The organizations, the oldest first.
#[derive(Debug, Serialize)]
pub struct OrgList {
    /// Whether only active ones were asked for.
    pub active_only: bool,
    /// The organizations.
    pub organizations: Vec<OrgSummary>,
}

impl Report for OrgList {
    const SCHEMA: &'static str = "stockfoil.org-list/1";

    fn outcome(&self) -> Outcome {
        Outcome::Clean
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |state: &str, is_active: bool| Metric {
            name: "stockfoil_organizations",
            help: "Organizations by state.",
            labels: vec![("state", state.to_owned())],
            value: self.organizations.iter().filter(|org| org.is_active == is_active).count().to_string(),
        };
        let mut metrics = vec![metric("active", true)];
        if !self.active_only {
            metrics.push(metric("inactive", false));
        }
        metrics
    }
}

/// Lists the organizations, with exact counts of one snapshot.
///
/// # Errors
/// [`NotMigrated`](crate::tenancy::TenancyError::NotMigrated) before `migrate-org`.
pub fn list<'a>(db: &'a Db, mapping: &'a Mapping, active_only: bool) -> Task<'a, OrgList> {
    Box::pin(async move {
        let model = &mapping.resolve(db).await?;
        let members = model.memberships.as_ref().map(|members| (&members.table, &members.organization));
        let users = model.users.as_ref().map(|users| (&users.table, &model.org_column));
        let users = members.or(users);
        let items = model.items.as_ref().map(|items| (items, &model.org_column));
        let of_tenants = users.into_iter().chain(items).filter(|(_, org)| **org == model.org_column);
        let counted: Vec<&QualifiedName> = of_tenants.map(|(table, _)| table).collect();
        require(db, model, &counted).await?;
        let columns = Fixed(organizations::COLUMNS);
        let (users, items) = (Count::of(model, users, "u"), Count::of(model, items, "i"));
        let statement = model.render_with(
            include_str!("list.sql"),
            &[
                ("organizations.columns", &columns),
                ("users.count", &users.count),
                ("users.join", &users.join),
                ("items.count", &items.count),
                ("items.join", &items.join),
            ],
        );
        let counted: Vec<Counted> = sqlx::query_as(statement.sql())
            .bind(active_only)
            .fetch_all(db.pool())
            .await
            .context("list the organizations")?;
        Ok(OrgList { active_only, organizations: counted.into_iter().map(OrgSummary::from).collect() })
    })
}

/// How an organization's rows of a table are counted; not at all where there is no such table.
struct Count {
    count: Statement,
    join: Statement,
}

impl Count {
    fn of(model: &Model, table: Option<(&QualifiedName, &Ident)>, alias: &'static str) -> Self {
        let Some((table, org)) = table else {
            return Self { count: render("NULL::bigint", &[]), join: render("", &[]) };
        };
        let alias = Fixed(alias);
        let fragments: [(&str, &dyn Fragment); 3] = [("table", table), ("org", org), ("alias", &alias)];
        Self {
            count: render("coalesce({alias}.count, 0)", &fragments),
            join: model.render_with(
                "LEFT JOIN (SELECT {org} AS org, count(*) FROM {table} GROUP BY {org}) AS {alias} ON {alias}.org = o.key",
                &fragments,
            ),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Counted {
    #[sqlx(flatten)]
    organization: Stored,
    users: Option<i64>,
    items: Option<i64>,
}

impl From<Counted> for OrgSummary {
    fn from(Counted { organization, users, items }: Counted) -> Self {
        let Stored { id, name, subdomain, is_active, created_at, .. } = organization;
        Self { id, name, subdomain, is_active, users, items, created_at }
    }
}
