-- The entries of one key ($1 to $4): which are numbers, and which are new since the comparison of snapshot $5 at time $6.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT {e.id} AS id, e.id AS place, e.quantity, e.created_at::timestamptz AS created_at, {is_new} AS is_new,
       e.quantity > '-Infinity' AND e.quantity < 'Infinity' AS is_number
FROM (
{postings}
) AS e
WHERE e.org = $1::text::{org.type} AND {e.item} = $2::text::{item.type}
  AND {e.location} = $3::text::{location.type} AND {e.lot} IS NOT DISTINCT FROM $4::text::{lot.type}
