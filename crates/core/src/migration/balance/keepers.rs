//! Who keeps the balances already.

use sqlx::PgConnection;

use crate::{
    Error,
    db::Context as _,
    migration::finding::Finding,
    model::{KeptBy, Model},
    sql::{Ident, QualifiedName},
};

/// What helps where something else keeps the balances.
pub(crate) const KEEPERS_REMEDY: &str = "let it keep them, and be compared: [balances] kept_by = \"application\"; or disable it (ALTER TABLE ... \
                                 DISABLE TRIGGER or RULE) right before migrate-balance: what it misses, backfill-balances adds";

/// The application's own triggers and rules of the ledger that write a quantity of its balances, each with its table; none where Stockfoil does
/// not keep these.
///
/// # Errors
/// Database errors.
pub(crate) async fn keepers(
    session: &mut PgConnection,
    model: &Model,
) -> Result<Vec<(String, String)>, Error> {
    if model.balances.kept_by != KeptBy::Triggers {
        return Ok(Vec::new());
    }
    let rows: Vec<(String, String, String)> = sqlx::query_as(include_str!("keepers.sql"))
        .bind(model.ledger.table.to_string())
        .bind(model.balances.table.to_string())
        .bind(model.balances.quantity.as_str())
        .fetch_all(session)
        .await
        .context(format!("look who else keeps {}", model.balances.table.plain()))?;
    let keeper = |(keeper, schema, table)| {
        Ok((keeper, QualifiedName::new(Ident::new(schema)?, Ident::new(table)?).plain()))
    };
    rows.into_iter().map(keeper).collect()
}

/// [`keepers`] as what stands in the way.
///
/// # Errors
/// Database errors.
pub(super) async fn obstacles(session: &mut PgConnection, model: &Model) -> Result<Vec<Finding>, Error> {
    let balances = model.balances.table.plain();
    let finding = |(keeper, table): (String, String)| Finding {
        check: "keepers",
        object: format!("{keeper} of {table}"),
        detail: format!(
            "writes {balances}, which Stockfoil's triggers would write too: each entry would count twice"
        ),
        remedy: KEEPERS_REMEDY.to_owned(),
    };
    Ok(keepers(session, model).await?.into_iter().map(finding).collect())
}
