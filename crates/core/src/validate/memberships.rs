//! Who is in which organization, where people may be in several.

use sqlx::PgConnection;

use super::Checks;
use crate::{Error, db::Context as _, model::Model};

#[derive(sqlx::FromRow)]
struct Found {
    refers_to_users: bool,
    refers_to_organizations: bool,
    is_unique: bool,
    is_indexed: bool,
    orphans: i64,
    all_of_them: i64,
    in_none: i64,
}

impl Checks {
    /// That a membership is of a user and an organization that are there, and is ended by deleting one row.
    pub(super) async fn memberships(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        organizations: bool,
    ) -> Result<(), Error> {
        let (Some(users), Some(memberships)) = (&model.users, &model.memberships) else { return Ok(()) };
        let column =
            crate::catalog::column(&mut *session, &memberships.table, &memberships.organization).await?;
        if !organizations || column.is_none() {
            // What is not there yet was told of the table.
            return Ok(());
        }
        let found: Found = sqlx::query_as(model.render(include_str!("memberships.sql")).sql())
            .bind(memberships.table.to_string())
            .bind(users.table.to_string())
            .bind(model.organizations.to_string())
            .bind(memberships.user.as_str())
            .bind(memberships.organization.as_str())
            .fetch_one(session)
            .await
            .context("look at the memberships")?;
        let (object, user, org) =
            (memberships.table.plain(), memberships.user.as_str(), memberships.organization.as_str());
        let holds = found.refers_to_users && found.refers_to_organizations && found.orphans == 0;
        let evidence = match found.orphans {
            0 if holds => format!(
                "{} memberships, each of a user and an organization by foreign keys; {} users in no organization",
                found.all_of_them, found.in_none
            ),
            0 => format!(
                "{} memberships, and no valid foreign key of each of {user} and {org}",
                found.all_of_them
            ),
            orphans => {
                format!("{orphans} of {} memberships are of no user or no organization", found.all_of_them)
            }
        };
        let remedy = format!(
            "delete those of nobody, then ALTER TABLE {} ADD FOREIGN KEY ({user}) REFERENCES {} ({}) ON DELETE CASCADE, and ({org}) REFERENCES {} (id)",
            memberships.table,
            users.table,
            users.id.as_str(),
            model.organizations
        );
        self.add("memberships", object.clone(), holds, evidence, &remedy);
        if !found.is_unique {
            let evidence =
                "a user can be in an organization twice, and stays there when one row is deleted".to_owned();
            let remedy = format!("ALTER TABLE {} ADD UNIQUE ({user}, {org})", memberships.table);
            self.warn("memberships", object.clone(), evidence, &remedy);
        }
        if !found.is_indexed {
            let evidence = "no index begins with the user: each sign-in reads the whole table".to_owned();
            let remedy = format!("CREATE INDEX CONCURRENTLY ON {} ({user})", memberships.table);
            self.warn("memberships", object, evidence, &remedy);
        }
        Ok(())
    }
}
