-- The entries of one key ($1 to $4) before $5 that no transaction of snapshot $6 had made, the first $7 of them.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT {e.id} AS id, e.quantity::text AS quantity, e.created_at::timestamptz AS created_at
FROM (
{tx_entries}
) AS e
WHERE e.org = $1::text::{org.type} AND {e.item} = $2::text::{item.type} AND {e.location} = $3::text::{location.type}
  AND {e.lot} IS NOT DISTINCT FROM $4::text::{lot.type}
  AND (e.created_at < $5 OR e.created_at IS NULL)
  AND NOT pg_visible_in_snapshot(e.tx::text::xid8, $6::text::pg_snapshot)
ORDER BY e.tx, e.created_at, e.id
LIMIT $7
