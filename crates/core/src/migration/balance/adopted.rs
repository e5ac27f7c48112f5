//! What of an adopted table's rows and keys stands in the way of its being the balances.

use sqlx::PgConnection;

use crate::{
    Error, catalog,
    db::Context as _,
    migration::finding::Finding,
    model::{Model, conflict},
    org_id::KeyType,
    sql::{Fixed, Fragment, Ident, List, Statement, render},
};

/// What stands in the way.
///
/// # Errors
/// Database errors.
pub(super) async fn obstacles(session: &mut PgConnection, model: &Model) -> Result<Vec<Finding>, Error> {
    if !model.balances.is_adopted {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    found.extend(duplicate(session, model).await?);
    found.extend(partial(session, model).await?);
    found.extend(empty_lot(session, model).await?);
    Ok(found)
}

/// Keys that several rows have, which therefore can't be unique.
async fn duplicate(session: &mut PgConnection, model: &Model) -> Result<Option<Finding>, Error> {
    let table = &model.balances.table;
    let mut key = conflict(model);
    if catalog::column(session, table, &model.org_column).await?.is_none() {
        key.retain(|column| *column != model.org_column);
    }
    let columns: Vec<&str> = key.iter().map(Ident::as_str).collect();
    let keys = List(key.clone());
    // Without a lot the key is one in which NULLs differ.
    let distinct = match model.balances.lot {
        Some(_) => render("true", &[]),
        None => render("ROW({keys}) IS NOT NULL", &[("keys", &keys)]),
    };
    let texts = key.iter().map(|name| render("coalesce(b.{name}::text, '')", &[("name", name)]));
    let texts = List(texts.collect::<Vec<_>>());
    let predicate = counted(model);
    let fragments: [(&str, &dyn Fragment); 5] = [
        ("table", table),
        ("predicate", &predicate),
        ("distinct", &distinct),
        ("unique_key", &keys),
        ("key_texts", &texts),
    ];
    let (several, rows, examples): (i64, i64, Vec<String>) =
        sqlx::query_as(render(include_str!("duplicates.sql"), &fragments).sql())
            .persistent(false)
            .fetch_one(&mut *session)
            .await
            .context(format!("look for several rows of one key in {}", table.plain()))?;
    if several == 0 {
        return Ok(None);
    }
    let merging = merging(session, model, &key, &distinct).await?;
    Ok(Some(Finding {
        check: "balance_key",
        object: table.plain(),
        detail: format!(
            "has several rows of one key ({}), and a balance is one row: {rows} rows of {several} keys, such as {}",
            columns.join(", "),
            examples.join(", ")
        ),
        remedy: format!(
            "make one of those of a key; this keeps one with the sum of all, where nothing else refers to the others: {merging}"
        ),
    }))
}

/// Which rows are balances.
fn counted(model: &Model) -> Statement {
    match &model.balances.counted {
        Some(counted) => counted.alone.clone(),
        None => render("true", &[]),
    }
}

/// The statements that make one row of those of a key.
async fn merging(
    session: &mut PgConnection,
    model: &Model,
    key: &[Ident],
    distinct: &Statement,
) -> Result<Statement, Error> {
    let table = &model.balances.table;
    let id = match catalog::primary_key(session, table).await?.as_slice() {
        [(only, _)] => render("{only}", &[("only", only)]),
        _ => render("ctid", &[]),
    };
    let of = |row: Fixed| {
        let columns = key.iter().map(|name| render("{row}.{name}", &[("row", &row), ("name", name)]));
        List(columns.collect::<Vec<_>>())
    };
    let (key, of_t, of_m) = (List(key.to_vec()), of(Fixed("t")), of(Fixed("m")));
    let fragments: [(&str, &dyn Fragment); 8] = [
        ("table", table),
        ("id", &id),
        ("quantity", &model.balances.quantity),
        ("predicate", &counted(model)),
        ("distinct", distinct),
        ("key", &key),
        ("of_t", &of_t),
        ("of_m", &of_m),
    ];
    Ok(render(
        "BEGIN; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE; \
         CREATE TEMPORARY TABLE merged ON COMMIT DROP AS SELECT {key}, (array_agg({id} ORDER BY {id}))[1] AS kept, sum({quantity}) AS total FROM {table} \
         WHERE ({predicate}) AND {distinct} GROUP BY {key} HAVING count(*) > 1; \
         DELETE FROM {table} AS t USING merged AS m WHERE ROW({of_t}) IS NOT DISTINCT FROM ROW({of_m}) AND t.{id} <> m.kept \
         AND t.{id} IN (SELECT {id} FROM {table} WHERE {predicate}); \
         UPDATE {table} AS t SET {quantity} = m.total FROM merged AS m WHERE t.{id} = m.kept AND ROW({of_t}) IS NOT DISTINCT FROM ROW({of_m}); COMMIT",
        &fragments,
    ))
}

/// That it says by an empty lot that there is none, where its column also takes NULL.
async fn empty_lot(session: &mut PgConnection, model: &Model) -> Result<Option<Finding>, Error> {
    let balances = &model.balances;
    let lot = balances.lot.as_ref().filter(|lot| !lot.is_never_null);
    let (Some(lot), Some(KeyType::Text)) = (lot, model.ledger.key.lot) else { return Ok(None) };
    let query = model.render_with(
        "SELECT EXISTS (SELECT FROM {balances} WHERE {lot}::text = ''{balances.and})",
        &[("lot", &lot.name)],
    );
    let is_there: bool = sqlx::query_scalar(query.sql())
        .fetch_one(session)
        .await
        .context(format!("look for empty lots in {}", balances.table.plain()))?;
    let column = lot.name.as_str();
    Ok(is_there.then(|| Finding {
        check: "balance_key",
        object: balances.table.plain(),
        detail: format!(
            "has rows whose {column} is an empty text, and {column} may be NULL: entries without a lot would go into a second row"
        ),
        remedy: format!(
            "make {column} NOT NULL DEFAULT '', with an empty text in each row without a lot; or set each empty one to NULL"
        ),
    }))
}

/// That it keeps a key unique among other rows than those that are balances: some of them only, such as those that are not marked as
/// deleted, or those too that are none.
async fn partial(session: &mut PgConnection, model: &Model) -> Result<Option<Finding>, Error> {
    let table = &model.balances.table;
    let key = conflict(model);
    let columns: Vec<&str> = key.iter().map(Ident::as_str).collect();
    let counted = model.balances.counted.as_ref().map(|counted| counted.printed.as_str());
    let own = Ident::joined(&[table.name.as_str(), "balance_key"]);
    let found: Option<(String, Option<String>)> = sqlx::query_as(include_str!("partial.sql"))
        .bind(table.to_string())
        .bind(columns)
        .bind(counted)
        .bind(own.as_str())
        .fetch_optional(session)
        .await
        .context(format!("look at the unique keys of {}", table.plain()))?;
    let Some((index, condition)) = found else { return Ok(None) };
    let (detail, remedy) = match (condition, counted) {
        (Some(condition), None) => (
            format!(
                "keeps a key unique only where {condition} ({index}), and a balance is the one row of its key: the application could make no second one, and entries would go into rows that it takes for gone"
            ),
            format!(
                "say [balances] where = {{ sql = {condition:?} }}, so that the other rows count for nothing; or drop that index if each key has one row for good"
            ),
        ),
        (Some(condition), Some(counted)) => (
            format!(
                "keeps a key unique only where {condition} ({index}), and [balances] where says {counted}: a row that is one and not the other would be a second balance of its key, or none"
            ),
            "say the same in both".to_owned(),
        ),
        (None, _) => (
            format!(
                "keeps a key unique among all of its rows ({index}), those too that [balances] where leaves out: such a key could get no balance any more, and its entries would be refused"
            ),
            "make that index one of the rows that count, by the same condition; or leave [balances] where out"
                .to_owned(),
        ),
    };
    Ok(Some(Finding { check: "balance_key", object: table.plain(), detail, remedy }))
}
