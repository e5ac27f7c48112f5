-- The keys whose balance is not the sum of their entries, read in one snapshot. $1: only these organizations, or NULL.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
SELECT k.org, k.item, k.location, k.lot, k.ledger_qty, k.balance_qty,
       CASE
           WHEN k.ledger_qty > '-Infinity' AND k.ledger_qty < 'Infinity' THEN k.ledger_qty
           WHEN k.ledger_qty IS NULL THEN 0
           -- A balance counts the entries that are numbers.
           ELSE (SELECT coalesce(sum(e.quantity), 0)
                 FROM (
{entries}
                 ) AS e
                 WHERE e.org = k.org AND {e.item} = k.item AND {e.location} = k.location
                   AND {e.lot} IS NOT DISTINCT FROM k.lot
                   AND e.quantity > '-Infinity' AND e.quantity < 'Infinity')
       END - coalesce(k.balance_qty, 0) AS drift
FROM (
    SELECT u.org, u.item, u.location, u.lot, sum(u.ledger_qty) AS ledger_qty, sum(u.balance_qty) AS balance_qty
    FROM (
        SELECT s.org, s.item, s.location, s.lot, s.quantity AS ledger_qty, NULL::numeric AS balance_qty
        FROM (
{sums}
        ) AS s
        UNION ALL
        SELECT b.org, b.item, b.location, b.lot, NULL, b.quantity
        FROM (
{balance_rows}
        ) AS b
        WHERE $1::text[] IS NULL OR b.org = ANY ($1::text[]::{org.type}[])
    ) AS u
    GROUP BY 1, 2, 3, 4
    -- What is not a number is told even where the balance is the same.
    HAVING sum(u.ledger_qty) IS DISTINCT FROM sum(u.balance_qty)
        OR sum(u.ledger_qty) IN ('NaN', 'Infinity', '-Infinity')
) AS k
