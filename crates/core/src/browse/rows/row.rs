//! One row, whole, and what refers to it.

use sqlx::Row as _;

use super::{
    Cell, Count, Filter, Operator, ROW_LETTERS_MAX, Referrer, Row,
    cells::{cells, columns, labels, read_cells},
    condition::conditions,
    count::{COUNT_MAX, counted, is_small, union_all},
    value::compare,
};
use crate::{
    Error,
    browse::{
        Binds, BrowseError, Organization, Snapshot, refused,
        relation::{ForeignKey, Relation, Table},
        scoped, seen,
    },
    sql::{Fixed, Ident, List, Literal, Statement, all_of, render},
};

pub(in crate::browse) async fn row(
    snapshot: &mut Snapshot,
    table: &Table,
    values: &[(String, String)],
) -> Result<Row, Error> {
    if values.is_empty() {
        return Err(BrowseError::NoRow(table.relation.name.plain()).into());
    }
    let filters: Vec<Filter> = values
        .iter()
        .map(|(column, value)| Filter {
            column: column.clone(),
            operator: Operator::Equal,
            value: value.clone(),
        })
        .collect();
    let mut binds = Binds::default();
    let conditions = conditions(snapshot, table, &filters, &mut binds).await?;
    let mut cells = cells(table, ROW_LETTERS_MAX, true);
    let labels = labels(snapshot, table, &mut binds);
    cells.extend(labels.iter().map(|(_, label)| label.clone()));
    let statement = render(
        include_str!("../page.sql"),
        &[
            ("cells", &List(cells)),
            ("columns", &List(columns(table))),
            ("relation", &table.relation.name),
            ("conditions", &all_of(conditions)),
            ("order", &Fixed("")),
            ("limit", &Fixed("2")),
            ("offset", &Fixed("0")),
        ],
    );
    let rows = binds
        .query(&statement)
        .fetch_all(&mut *snapshot.tx)
        .await
        .map_err(|error| refused("read the row", error))?;
    let Some(found) = rows.first() else {
        return Err(BrowseError::NoRow(table.relation.name.plain()).into());
    };
    let cells = read_cells(found, table, ROW_LETTERS_MAX, &labels)?;
    let referrers = if rows.len() == 1 { referrers(snapshot, table, &cells).await? } else { Vec::new() };
    Ok(Row { cells, has_others: rows.len() > 1, referrers })
}

/// What refers to the row of these cells, counted where that is cheap.
async fn referrers(snapshot: &mut Snapshot, table: &Table, cells: &[Cell]) -> Result<Vec<Referrer>, Error> {
    let mut referrers: Vec<Referrer> = Vec::new();
    let mut binds = Binds::default();
    let mut parts = Vec::new();
    for key in &table.referrers {
        let Some(from) = snapshot.relation(&key.from) else { continue };
        let Some(values) = values_of(table, &key.to_columns, cells) else { continue };
        if is_small(from) || key.is_indexed {
            let condition = refers(from, snapshot.organization.as_ref(), key, table, &values, &mut binds);
            parts.push(render(
                "SELECT {index}::int8, (SELECT count(*) FROM ({rows}) AS counted)",
                &[
                    ("index", &Literal::new(&referrers.len().to_string())),
                    ("rows", &counted(from, &condition)),
                ],
            ));
        }
        let filters = key.from_columns.iter().zip(values).map(|(column, value)| Filter {
            column: column.as_str().to_owned(),
            operator: Operator::Equal,
            value,
        });
        referrers.push(Referrer { key: key.clone(), filters: filters.collect(), count: None });
    }
    if let Some(statement) = union_all(parts) {
        let rows = binds
            .query(&statement)
            .fetch_all(&mut *snapshot.tx)
            .await
            .map_err(|error| refused("count the referring rows", error))?;
        for row in rows {
            let (index, rows): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let count = if rows <= COUNT_MAX { Count::Exactly(rows) } else { Count::About(rows) };
            if let Some(referrer) = usize::try_from(index).ok().and_then(|index| referrers.get_mut(index)) {
                referrer.count = Some(count);
            }
        }
    }
    Ok(referrers)
}

/// The whole values of `names`; `None` where one is NULL or cut, so that nothing can refer to it.
fn values_of(table: &Table, names: &[Ident], cells: &[Cell]) -> Option<Vec<String>> {
    names
        .iter()
        .map(|name| {
            let place = table.columns.iter().position(|column| column.name == *name)?;
            cells.get(place).filter(|cell| !cell.is_cut)?.text.clone()
        })
        .collect()
}

/// The condition that a row of `from` refers by `key` to the row of `table` with these values.
fn refers(
    from: &Relation,
    organization: Option<&Organization>,
    key: &ForeignKey,
    table: &Table,
    values: &[String],
    binds: &mut Binds,
) -> Statement {
    let mut conditions = Vec::from_iter(scoped(from, organization, "t", binds));
    let columns = key.to_columns.iter().zip(&key.from_columns).zip(&key.equal).zip(values);
    for (((to, from), operator), value) in columns {
        if let Some(to) = table.column(to.as_str()) {
            let value = binds.value(value, &to.base_type);
            conditions.push(compare(&value, operator, &seen("t", from)));
        }
    }
    all_of(conditions)
}
