-- The balances of organization $1 that have all their entries among those that move, and nothing else in their sum.
-- Locks: ACCESS SHARE, which stops no writer.
SELECT $1::text::{org.type} AS org, k.item, k.location, k.lot
FROM (
    SELECT {e.item} AS item, {e.location} AS location, {e.lot} AS lot, count(*) AS entries, coalesce(sum(e.quantity), 0) AS quantity
    FROM (
{moving_entries}
    ) AS e
    GROUP BY 1, 2, 3
) AS k
JOIN (
    SELECT {e.item} AS item, {e.location} AS location, {e.lot} AS lot, count(*) AS entries
    FROM (
{entries}
    ) AS e
    WHERE e.org = $1::text::{org.type}
    GROUP BY 1, 2, 3
) AS a ON a.item = k.item AND a.location = k.location AND a.lot IS NOT DISTINCT FROM k.lot AND a.entries = k.entries
JOIN (
{balance_rows}
) AS b ON b.org = $1::text::{org.type} AND b.item = k.item AND b.location = k.location AND b.lot IS NOT DISTINCT FROM k.lot
      AND b.quantity = k.quantity
