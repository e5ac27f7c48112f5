//! Memberships that a merge would leave with the organization that ends.

use sqlx::PgConnection;

use crate::{Error, db::Context as _, model::Model, org_id::OrgId, sql::Literal};

/// Why the organization can't end, if so: people are its members by a table that is not tenant-scoped, so that nothing moves
/// them, and would be members of an inactive organization alone.
pub(super) async fn memberships_stay(
    session: &mut PgConnection,
    model: &Model,
    from: &OrgId,
) -> Result<Option<String>, Error> {
    let Some(memberships) = &model.memberships else { return Ok(None) };
    let table = &memberships.table;
    if model.tenant_tables.contains(table) {
        return Ok(None);
    }
    let count = model
        .render("SELECT count(*) FROM {memberships} AS m WHERE m.{memberships.org} = $1::text::{org.type}");
    let rows: i64 = sqlx::query_scalar(count.sql())
        .persistent(false)
        .bind(from)
        .fetch_one(session)
        .await
        .context(format!("count the rows of {}", table.plain()))?;
    if rows == 0 {
        return Ok(None);
    }
    // Who is a member of both is one already.
    let give = model.render_with(
        "UPDATE {memberships} AS m SET {memberships.org} = 'INTO' WHERE m.{memberships.org} = {from} AND NOT EXISTS (SELECT FROM {memberships} AS o WHERE o.{memberships.org} = 'INTO' AND o.{memberships.user} = m.{memberships.user}); DELETE FROM {memberships} WHERE {memberships.org} = {from}",
        &[("from", &Literal::new(from.as_str()))],
    );
    Ok(Some(format!(
        "{rows} memberships of {} are of {from} and would stay, since that table is not tenant-scoped: their people could sign in to no organization; give them to the other one first, whose id is put for INTO: {}",
        table.plain(),
        give.sql().as_str()
    )))
}
