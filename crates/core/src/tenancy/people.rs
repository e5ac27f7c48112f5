//! The table of users, whose rows are told apart by its primary key, whatever column names a user to people.

use sqlx::{Acquire as _, PgConnection};

use super::{
    TenancyError,
    moves::{
        DataError, Graph, as_organization,
        guard::{self, Balances, Sight},
    },
};
use crate::{
    Error, catalog,
    db::{Context as _, DbError},
    model::{Model, Users},
    org_id::OrgId,
    sql::{Fixed, Fragment, QualifiedName, Statement, render},
};

/// The users' table in the graph of tenant tables.
pub(super) struct People<'a> {
    model: &'a Model,
    users: &'a Users,
    graph: Graph,
    place: usize,
}

impl<'a> People<'a> {
    /// Reads what the catalog says of it.
    ///
    /// # Errors
    /// [`DataError::NoKey`] where it has no primary key, and database errors.
    pub(super) async fn read(
        connection: &mut PgConnection,
        model: &'a Model,
        users: &'a Users,
    ) -> Result<Self, Error> {
        let graph = Graph::read(connection, model).await?;
        match graph.place(&users.table) {
            Some(place) if !graph.tables[place].key.is_empty() => Ok(Self { model, users, graph, place }),
            _ => Err(DataError::NoKey(users.table.plain()).into()),
        }
    }

    /// The users' table.
    pub(super) fn table(&self) -> &QualifiedName {
        &self.users.table
    }

    /// `template` over the users' table `t`.
    pub(super) fn render(&self, template: &'static str, more: &[(&str, &dyn Fragment)]) -> Statement {
        self.graph.of_table(self.model, self.place, template, more)
    }

    /// Refuses to take users from rows that refer to them by a key that holds the organization: these rows would be in the
    /// way, or be taken along.
    pub(super) async fn refuse_referred(
        &self,
        connection: &mut PgConnection,
        keys: &[String],
    ) -> Result<(), Error> {
        let mut referring = Vec::new();
        for reference in catalog::references(connection, std::slice::from_ref(&self.users.table)).await? {
            if !reference.columns.iter().any(|(_, parent)| *parent == self.model.org_column) {
                continue;
            }
            let refers = reference.columns.iter().map(|(child, parent)| {
                render("c.{child} = t.{parent}", &[("child", child), ("parent", parent)])
            });
            let refers = crate::model::joined(&refers.collect::<Vec<_>>(), " AND ");
            // Users who refer to users may move together.
            let moves = match reference.child_table == self.users.table {
                true => render("{key} = ANY ($1)", &[("key", &self.graph.tables[self.place].key_text("c"))]),
                false => render("false", &[]),
            };
            let more: [(&str, &dyn Fragment); 3] =
                [("child", &reference.child_table), ("refers", &refers), ("moves", &moves)];
            let rows: i64 = sqlx::query_scalar(self.render(include_str!("referring.sql"), &more).sql())
                .persistent(false)
                .bind(keys)
                .fetch_one(&mut *connection)
                .await
                .context("look for rows that refer to the users")?;
            if rows > 0 {
                let (table, key) = (reference.child_table.plain(), reference.name.as_str());
                referring.push(format!("{rows} rows of {table} (foreign key {key})"));
            }
        }
        match referring.is_empty() {
            true => Ok(()),
            false => Err(TenancyError::UsersReferred { rows: referring.join(", ") }.into()),
        }
    }

    /// Gives the users with these keys to `org`, and nobody else, in the transaction that has locked them.
    pub(super) async fn give(
        &self,
        connection: &mut PgConnection,
        org: &OrgId,
        keys: &[String],
        sight: Sight,
    ) -> Result<(), Error> {
        let (model, table) = (self.model, &self.users.table);
        as_organization(connection, Some(org.as_str())).await?;
        let mut attempt = connection.begin().await.context("move the users")?;
        let before = guard::written(&mut attempt, model, Balances::beside(model, table)).await?;
        self.update(&mut attempt, org, keys).await?;
        let touched = before.beyond(&mut attempt, model, &[(table, keys.len())]).await?;
        if touched.is_empty() {
            attempt.commit().await.context("move the users")?;
            return Ok(());
        }
        sight.require_comparing(table)?;
        attempt.rollback().await.context("move the users")?;
        let others = guard::others(connection, model, &self.graph, &touched, table, keys).await?;
        self.update(connection, org, keys).await?;
        let after = guard::others(connection, model, &self.graph, &touched, table, keys).await?;
        others.require(&after, table)?;
        Ok(())
    }

    async fn update(&self, connection: &mut PgConnection, org: &OrgId, keys: &[String]) -> Result<(), Error> {
        let moved = sqlx::query(self.render(include_str!("move_users.sql"), &[]).sql())
            .persistent(false)
            .bind(org)
            .bind(keys)
            .execute(&mut *connection)
            .await
            .map_err(referred)?
            .rows_affected();
        if usize::try_from(moved) != Ok(keys.len()) {
            let (chosen, table) = (keys.len(), self.users.table.plain());
            return Err(TenancyError::NotAllMoved { moved, chosen, table }.into());
        }
        match guard::settle(connection).await {
            Err(DbError::Statement { cause, .. }) => Err(referred(cause)),
            settled => Ok(settled?),
        }
    }

    /// The statement that selects users.
    pub(super) fn select(&self, lock: Fixed) -> Statement {
        self.render(include_str!("select_users.sql"), &[("lock", &lock)])
    }
}

/// Says which foreign key does not let users leave what refers to them within their organization.
fn referred(error: sqlx::Error) -> Error {
    // A key that says RESTRICT is a violation of its own from PostgreSQL 18 on.
    let broken =
        error.as_database_error().filter(|error| matches!(error.code().as_deref(), Some("23503" | "23001")));
    match broken {
        Some(broken) => {
            let (table, key) = (broken.table().unwrap_or_default(), broken.constraint().unwrap_or_default());
            TenancyError::UsersReferred { rows: format!("rows of {table} (foreign key {key})") }.into()
        }
        None => DbError::Statement { context: "move the users".into(), cause: error }.into(),
    }
}
