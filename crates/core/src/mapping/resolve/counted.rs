//! Which rows of an adopted table are balances.

use super::{
    super::names::{Place, Placed, Source},
    Column, Resolver, refused,
};
use crate::{
    Error,
    db::Context as _,
    model::{Balances, Counted},
    sql::{Definition, Fragment, Ident, List, QualifiedName, Statement, render},
};

/// A column with its type and its default, where it has one.
type Default = (String, String, Option<String>);

impl Resolver<'_> {
    /// The condition that `filter` is, which Stockfoil's own writes must leave true.
    pub(super) async fn counted(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        filter: Option<&Placed<Source>>,
        written: &[&Ident],
    ) -> Result<Option<Counted>, Error> {
        let Some(filter) = filter else { return Ok(None) };
        let Some(condition) = self.condition(table, columns, filter).await? else { return Ok(None) };
        let place = &filter.place;
        if let Some(name) =
            condition.columns.iter().find(|name| written.iter().any(|column| column.as_str() == **name))
        {
            let reason = format!(
                "it uses {name}, which is of the key or is written with each entry: a row would be a balance at one time and none at another; write it of other columns"
            );
            return Err(refused(place, reason));
        }
        let generated =
            |name: &&String| columns.iter().any(|column| column.is_generated && column.name == **name);
        if let Some(name) = condition.columns.iter().find(generated) {
            return Err(refused(place, format!("column {name} is GENERATED; write what it is made of")));
        }
        self.require_counted_rows(table, &condition.sql, &condition.columns, place).await?;
        Ok(Some(Counted {
            alone: condition.sql,
            of_b: condition.of_b,
            printed: condition.predicate.unwrap_or_default(),
        }))
    }

    /// Refuses a condition that a new row, with the defaults of what it is made of, does not meet.
    async fn require_counted_rows(
        &mut self,
        table: &QualifiedName,
        condition: &Statement,
        names: &[String],
        place: &Place,
    ) -> Result<(), Error> {
        let what = || format!("look what a new row of {} is", table.plain());
        let defaults: Vec<Default> = sqlx::query_as(include_str!("defaults.sql"))
            .bind(table.to_string())
            .bind(names)
            .fetch_all(&mut *self.connection)
            .await
            .context(what())?;
        let mut values = Vec::new();
        for (name, type_name, default) in &defaults {
            let default = default.as_deref().unwrap_or("NULL");
            let fragments: [(&str, &dyn Fragment); 3] = [
                ("default", &Definition::from_catalog(default.to_owned())),
                ("type", &Definition::from_catalog(type_name.clone())),
                ("name", &Ident::new(name.clone())?),
            ];
            values.push(render("({default})::{type} AS {name}", &fragments));
        }
        let query = render(
            "SELECT ({condition}) IS TRUE FROM (SELECT {values}) AS r",
            &[("condition", condition), ("values", &List(values))],
        );
        let is_counted: bool = sqlx::query_scalar(query.sql())
            .persistent(false)
            .fetch_one(&mut *self.connection)
            .await
            .context(what())?;
        if is_counted {
            return Ok(());
        }
        let reason = format!(
            "a new row would be no balance: by the defaults of {} it does not hold; change the defaults, or the condition",
            names.join(", ")
        );
        Err(refused(place, reason))
    }
}

impl Balances {
    /// The columns that are written, `org` among them.
    pub(super) fn written<'a>(&'a self, org: &'a Ident) -> Vec<&'a Ident> {
        let key = [Some(&self.item), self.location.as_ref(), self.lot.as_ref()];
        let rest = [Some(&self.quantity), self.last_ledger_id.as_ref(), self.last_updated.as_ref()];
        let key = key.into_iter().flatten().map(|column| &column.name);
        std::iter::once(org).chain(key).chain(rest.into_iter().flatten()).collect()
    }
}
