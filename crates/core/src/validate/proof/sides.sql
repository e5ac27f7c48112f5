-- Both sides of one key ($1 to $4), and how far they are apart: what its entries add up to, as balances count them, and its
-- balance.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
SELECT trim_scale(l.quantity)::text AS ledger, trim_scale(b.quantity)::text AS balance,
       trim_scale(l.quantity - coalesce(b.quantity, 0))::text AS apart
FROM (
    SELECT coalesce(sum(e.quantity) FILTER (WHERE e.quantity > '-Infinity' AND e.quantity < 'Infinity'), 0) AS quantity
    FROM (
{entries}
    ) AS e
    WHERE e.org = $1::text::{org.type} AND {e.item} = $2::text::{item.type}
      AND {e.location} = $3::text::{location.type} AND {e.lot} IS NOT DISTINCT FROM $4::text::{lot.type}
) AS l
CROSS JOIN (
    SELECT sum(b.quantity) AS quantity
    FROM (
{balance_rows}
    ) AS b
    WHERE b.org = $1::text::{org.type} AND b.item = $2::text::{item.type}
      AND b.location = $3::text::{location.type} AND b.lot IS NOT DISTINCT FROM $4::text::{lot.type}
) AS b
