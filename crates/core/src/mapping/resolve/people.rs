//! People, and the organizations that they are in.

use super::{
    super::{MembershipsMapping, UsersMapping},
    Column, Resolver, column, plain, refused, require_tenant,
};
use crate::{
    Error,
    model::{Memberships, Users},
    sql::{Ident, QualifiedName, render},
};

impl Resolver<'_> {
    pub(super) async fn users(&mut self, users: &UsersMapping) -> Result<Users, Error> {
        let table = self.table(&users.table).await?;
        let columns = self.columns(&table).await?;
        let id = column(&table, &columns, &users.id.value, &users.id.place)?;
        let email = column(&table, &columns, &users.email.value, &users.email.place)?;
        let text = |name: &Ident, column: &Column| match column.type_name.as_str() {
            "text" => plain(name),
            _ => render("{name}::text", &[("name", name)]),
        };
        Ok(Users {
            id_text: text(&users.id.value, id),
            email: text(&users.email.value, email),
            id: users.id.value.clone(),
            table,
        })
    }

    /// Who is in which organization. People who may be in several are no organization's: a row of theirs, and what refers to it,
    /// would be kept in one by row-level security and by the keys that hold the organization.
    pub(super) async fn memberships(
        &mut self,
        memberships: &MembershipsMapping,
        users: &Users,
        tenant_tables: &[QualifiedName],
    ) -> Result<Memberships, Error> {
        let MembershipsMapping { table: name, user, organization } = memberships;
        if tenant_tables.contains(&users.table) {
            let reason = format!(
                "{} is among tenancy.tables, and people who may be in several organizations are no organization's; take it out there",
                users.table.plain()
            );
            return Err(refused(&name.place, reason));
        }
        let table = self.table(name).await?;
        let is_tenant = tenant_tables.contains(&table);
        let has_org_column = organization.value == *self.mapping.org_column();
        if has_org_column {
            require_tenant("the memberships' table", &table, name, tenant_tables)?;
        } else if is_tenant {
            let reason = format!(
                "{} is among tenancy.tables, where {} says whose a row is; name that column, or take the table out there",
                table.plain(),
                self.mapping.org_column().as_str()
            );
            return Err(refused(&organization.place, reason));
        }
        let columns = self.columns(&table).await?;
        let of_user = column(&table, &columns, &user.value, &user.place)?.type_name.clone();
        // The migration may have to make the other one yet.
        let of_org = match is_tenant {
            true => None,
            false => Some(&column(&table, &columns, &organization.value, &organization.place)?.type_name),
        };
        let wanted = self.mapping.org_type().name();
        if let Some(found) = of_org.filter(|found| is_other(found, wanted)) {
            let reason = format!(
                "{}.{} is {found}, and tenancy.org_type is {wanted}; name the column that holds organizations",
                table.plain(),
                organization.value.as_str()
            );
            return Err(refused(&organization.place, reason));
        }
        let ids = self.columns(&users.table).await?;
        let of_id = ids.iter().find(|column| column.name == users.id.as_str());
        if let Some(id) = of_id.filter(|id| is_other(&of_user, &id.type_name)) {
            let reason = format!(
                "{}.{} is {of_user}, and {}.{} is {}; name the column that holds users",
                table.plain(),
                user.value.as_str(),
                users.table.plain(),
                users.id.as_str(),
                id.type_name
            );
            return Err(refused(&user.place, reason));
        }
        Ok(Memberships { table, user: user.value.clone(), organization: organization.value.clone() })
    }
}

/// Whether values of the types can't be equal: numbers of any size can, and texts of any kind.
fn is_other(one: &str, two: &str) -> bool {
    let kind = |name: &str| match name {
        "smallint" | "integer" | "bigint" => "number".to_owned(),
        "text" | "character varying" => "text".to_owned(),
        other => other.to_owned(),
    };
    kind(one) != kind(two)
}
