-- How many balances of organization $1 are not what its entries add up to. Locks: ACCESS SHARE, which stops no writer.
SELECT count(*)
FROM (
    SELECT u.item, u.location, u.lot
    FROM (
        SELECT {e.item} AS item, {e.location} AS location, {e.lot} AS lot, e.quantity
        FROM (
{entries}
        ) AS e
        WHERE e.org = $1::text::{org.type}
        UNION ALL
        SELECT b.item, b.location, b.lot, -b.quantity
        FROM (
{balance_rows}
        ) AS b
        WHERE b.org = $1::text::{org.type}
    ) AS u
    GROUP BY 1, 2, 3
    HAVING sum(u.quantity) <> 0
) AS wrong
