//! The balances: Stockfoil's own table, or the application's.

use sqlx::PgConnection;

use super::super::{
    BalancesMapping,
    names::{Place, Placed},
};
use super::{Column, EXACT, Resolver, another, column, refused, without_modifier};
use crate::{
    Error, catalog,
    db::Context as _,
    model::{BalanceColumn, Balances, Hot, KeptBy, Ledger, QUEUE},
    org_id::KeyType,
    sql::{Definition, Ident, QualifiedName, render},
};

/// Whether `table` is a table of balances that Stockfoil made, under this mapping or another.
///
/// # Errors
/// Database errors.
pub(crate) async fn made_balances(
    connection: &mut PgConnection,
    table: &QualifiedName,
) -> Result<bool, Error> {
    if !catalog::is_there(connection, "stockfoil.change").await? {
        return Ok(false);
    }
    let made = sqlx::query_scalar(include_str!("made_balances.sql"))
        .bind(table.to_string())
        .fetch_one(connection)
        .await
        .context(format!("look whether Stockfoil made {}", table.plain()))?;
    Ok(made)
}

/// The column of a table of Stockfoil's own that tells the lots of a key apart.
const LOT_KEY: &str = "lot_key";

impl Resolver<'_> {
    pub(super) async fn balances(
        &mut self,
        balances: &BalancesMapping,
        ledger: &Ledger,
    ) -> Result<Balances, Error> {
        if !balances.is_adopted {
            return self.own_balances(balances).await;
        }
        let table = self.table(&balances.table).await?;
        if table == ledger.table {
            return Err(refused(
                &balances.table.place,
                "this is the ledger; name the table that holds the balances",
            ));
        }
        let columns = self.columns(&table).await?;
        let key_column =
            |name: &Placed<Ident>, key_type| adopted_key_column(&table, &columns, name, key_type);
        let optional = |name: &Option<Placed<Ident>>, key_type: Option<KeyType>| {
            name.as_ref().zip(key_type).map(|(name, key_type)| key_column(name, key_type)).transpose()
        };
        let resolved = Balances {
            item: key_column(&balances.item, ledger.key.item)?,
            location: optional(&balances.location, ledger.key.location)?,
            lot: optional(&balances.lot, ledger.key.lot)?,
            lot_key: None,
            computes_lot_key: false,
            quantity: adopted_quantity(&table, &columns, &balances.quantity, ledger)?,
            last_ledger_id: typed(&table, &columns, &balances.last_ledger_id, &["text"])?,
            last_updated: typed(
                &table,
                &columns,
                &balances.last_updated,
                &["timestamp with time zone", "timestamp without time zone"],
            )?,
            is_adopted: true,
            kept_by: balances.kept_by,
            makes_rows: true,
            hot: Hot::Wait,
            has_queue: false,
            counted: None,
            table,
        };
        let written = resolved.written(self.mapping.org_column());
        let counted = self.counted(&resolved.table, &columns, balances.filter.as_ref(), &written).await?;
        let resolved = Balances { counted, ..resolved };
        if let (Some(name), Some(_)) = (&balances.lot, ledger.key.lot) {
            require_no_lot(
                column(&resolved.table, &columns, &name.value, &name.place)?,
                ledger,
                &name.place,
            )?;
        }
        match self.require_writable(&columns, &resolved, &balances.table.place) {
            // The application makes its rows itself; those that are there are compared and repaired.
            Err(_) if resolved.kept_by == KeptBy::Application => {
                Ok(Balances { makes_rows: false, ..resolved })
            }
            writable => writable.map(|()| resolved),
        }
    }

    /// Refuses a table that bears the name of the balances and lacks columns of theirs.
    async fn require_own_balances(
        &mut self,
        balances: &BalancesMapping,
        table: &QualifiedName,
    ) -> Result<(), Error> {
        let names = [
            Some(self.mapping.org_column()),
            Some(&balances.item.value),
            balances.location.as_ref().map(|name| &name.value),
            balances.lot.as_ref().map(|name| &name.value),
            Some(&balances.quantity.value),
        ];
        let lot_key = balances.lot.as_ref().map(|_| LOT_KEY);
        let names: Vec<&str> = names.into_iter().flatten().map(Ident::as_str).chain(lot_key).collect();
        let Some(missing) = self.missing_column(table, &names).await? else { return Ok(()) };
        let reason = match made_balances(self.connection, table).await? {
            true => format!(
                "{} was made for another mapping (it has no column {missing}); put the mapping back as it was, or run migrate-balance --rollback --yes, then migrate-balance and backfill-balances, which compute its rows again",
                table.plain()
            ),
            false => another(table, missing, "give balances.table another name, or say adopt = true"),
        };
        Err(refused(&balances.table.place, reason))
    }

    async fn own_balances(&mut self, balances: &BalancesMapping) -> Result<Balances, Error> {
        let own = |name: &Placed<Ident>| BalanceColumn {
            name: name.value.clone(),
            cast: None,
            is_never_null: false,
        };
        let table = balances.table.value.within(self.mapping.schema());
        if !self.takes_back {
            self.require_own_balances(balances, &table).await?;
        }
        let has_queue = catalog::is_there(self.connection, QUEUE).await?;
        let columns = self.columns(&table).await?;
        let found = columns.iter().find(|column| column.name == LOT_KEY);
        let computes_lot_key = balances.kept_by == KeptBy::Application
            && balances.lot.is_some()
            && found.is_none_or(|column| column.is_generated);
        Ok(Balances {
            table,
            hot: balances.hot,
            has_queue,
            counted: None,
            is_adopted: false,
            kept_by: balances.kept_by,
            makes_rows: true,
            item: own(&balances.item),
            location: balances.location.as_ref().map(own),
            lot: balances.lot.as_ref().map(own),
            lot_key: balances.lot.as_ref().map(|_| Ident::fixed(LOT_KEY)),
            computes_lot_key,
            quantity: balances.quantity.value.clone(),
            last_ledger_id: balances.last_ledger_id.as_ref().map(|name| name.value.clone()),
            last_updated: balances.last_updated.as_ref().map(|name| name.value.clone()),
        })
    }

    /// Refuses a table whose new rows would need a value for another column than those that are written.
    fn require_writable(&self, columns: &[Column], resolved: &Balances, place: &Place) -> Result<(), Error> {
        let written = resolved.written(self.mapping.org_column());
        let unfilled = columns.iter().find(|column| {
            column.is_not_null
                && !column.has_default
                && !written.iter().any(|name| name.as_str() == column.name)
        });
        if let Some(column) = unfilled {
            let reason = format!(
                "column {} of {} is NOT NULL without a default, so no new balance could be written; give it a default",
                column.name,
                resolved.table.plain()
            );
            return Err(refused(place, reason));
        }
        Ok(())
    }
}

/// A column of the application's key, which has the ledger's type or one that text is cast to.
fn adopted_key_column(
    table: &QualifiedName,
    columns: &[Column],
    name: &Placed<Ident>,
    key_type: KeyType,
) -> Result<BalanceColumn, Error> {
    let found = column(table, columns, &name.value, &name.place)?;
    if key_type == KeyType::Text && is_textual(found) && !found.has_one_text {
        let reason = format!(
            "{} has type {}, which takes texts for equal that the ledger tells apart, so that one row would have several sums; make it text, or a type of its own whose values differ where their texts do",
            name.value.as_str(),
            found.type_name
        );
        return Err(refused(&name.place, reason));
    }
    let cast = if found.type_name == key_type.name() {
        None
    } else if key_type == KeyType::Text && is_textual(found) {
        // The catalog printed the name.
        Some(render("{type}", &[("type", &Definition::from_catalog(found.type_name.clone()))]))
    } else {
        let reason = format!(
            "{} has type {}, and the ledger's is {}; a balance's key has the ledger's types",
            name.value.as_str(),
            found.type_name,
            key_type.name()
        );
        return Err(refused(&name.place, reason));
    };
    Ok(BalanceColumn { name: name.value.clone(), cast, is_never_null: found.is_not_null })
}

/// Refuses a column of lots that is NOT NULL and has no value that says that there is none, where entries may have none.
fn require_no_lot(found: &Column, ledger: &Ledger, place: &Place) -> Result<(), Error> {
    let takes_empty =
        matches!(without_modifier(&found.base_type).as_str(), "text" | "character varying" | "character");
    let mut lots = ledger.postings.iter().filter_map(|posting| posting.lot.as_ref());
    if !found.is_not_null || takes_empty || !lots.any(|lot| lot.is_nullable) {
        return Ok(());
    }
    let reason = format!(
        "{} is NOT NULL and of type {}, which has no value that says that there is no lot, and entries may have none; let it be NULL",
        found.name, found.type_name
    );
    Err(refused(place, reason))
}

/// The adopted column of quantities, which must hold every sum of the ledger's.
fn adopted_quantity(
    table: &QualifiedName,
    columns: &[Column],
    name: &Placed<Ident>,
    ledger: &Ledger,
) -> Result<Ident, Error> {
    let found = column(table, columns, &name.value, &name.place)?;
    let holds = |sums: &str| match (scale(&found.base_type), scale(sums)) {
        (Some(Scale::Any), _) => true,
        (Some(Scale::Digits(has)), Some(Scale::Digits(needs))) => has >= needs,
        _ => false,
    };
    // It must hold each entry. Whether it holds their sum, no type tells of integers: a balance past its end is refused when
    // it is written.
    let integer = |name: &str| ["smallint", "integer", "bigint"].iter().position(|integer| *integer == name);
    let holds = |sums: &str| {
        holds(sums)
            && match (integer(&found.base_type), integer(sums)) {
                (Some(has), Some(needs)) => has >= needs,
                _ => true,
            }
    };
    let sums_exactly = ledger.postings.iter().all(|posting| holds(&posting.quantity.type_name));
    if found.is_generated {
        let reason = format!(
            "{} is GENERATED, and a balance's quantity is written; name the column that it is made of",
            name.value.as_str()
        );
        return Err(refused(&name.place, reason));
    }
    if !sums_exactly {
        let reason = format!(
            "{} has type {}, which can't hold every sum of the ledger's {}; make it numeric (ALTER TABLE {table} ALTER COLUMN {} TYPE numeric)",
            name.value.as_str(),
            found.base_type,
            ledger.postings[0].quantity.type_name,
            name.value
        );
        return Err(refused(&name.place, reason));
    }
    Ok(name.value.clone())
}

/// How many decimals a type holds.
enum Scale {
    Any,
    Digits(i32),
}

fn scale(base_type: &str) -> Option<Scale> {
    match base_type {
        "numeric" => Some(Scale::Any),
        "smallint" | "integer" | "bigint" => Some(Scale::Digits(0)),
        _ => {
            let modifier = base_type.strip_prefix("numeric(")?.strip_suffix(')')?;
            modifier.split_once(',').and_then(|(_, scale)| scale.parse().ok()).map(Scale::Digits)
        }
    }
}

fn typed(
    table: &QualifiedName,
    columns: &[Column],
    name: &Option<Placed<Ident>>,
    types: &[&str],
) -> Result<Option<Ident>, Error> {
    let Some(name) = name else { return Ok(None) };
    let found = column(table, columns, &name.value, &name.place)?;
    if types.contains(&without_modifier(&found.base_type).as_str()) {
        return Ok(Some(name.value.clone()));
    }
    let reason = format!(
        "{} has type {}, and it must be {}; or say false",
        name.value.as_str(),
        found.type_name,
        types.join(" or ")
    );
    Err(refused(&name.place, reason))
}

fn is_textual(column: &Column) -> bool {
    let base = without_modifier(&column.base_type);
    let base = base.as_str();
    // An enum is its own base type, and every other type that isn't built in prints as its name.
    matches!(base, "text" | "character varying" | "character")
        || KeyType::of(base).is_none() && !EXACT.contains(&base)
}
