-- As `difference.sql`, of suspect keys alone: all of their entries are read, so that what is told and repaired never
-- rests on a sealed sum.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
SELECT s.org, s.item, s.location, s.lot, l.quantity AS ledger_qty, b.quantity AS balance_qty,
       l.finite_quantity - coalesce(b.quantity, 0) AS drift
FROM pg_temp.stockfoil_suspect AS s
CROSS JOIN LATERAL (
    SELECT CASE WHEN count(*) > 0 THEN coalesce(sum(e.quantity), 0) END AS quantity,
           -- A balance counts the entries that are numbers.
           coalesce(sum(e.quantity) FILTER (WHERE e.quantity > '-Infinity' AND e.quantity < 'Infinity'), 0) AS finite_quantity
    FROM (
{entries}
    ) AS e
    WHERE e.org = s.org AND {e.item} = s.item AND {e.location} = s.location AND {e.lot} IS NOT DISTINCT FROM s.lot
) AS l
LEFT JOIN (
    -- A table that was adopted may hold a key in several rows, or without a part.
    SELECT org, item, location, lot, sum(quantity) AS quantity
    FROM (
{balance_rows}
    ) AS r
    WHERE {key.weight} IN (SELECT {key.weight} FROM pg_temp.stockfoil_suspect)
    GROUP BY 1, 2, 3, 4
) AS b ON b.org = s.org AND b.item IS NOT DISTINCT FROM s.item AND b.location IS NOT DISTINCT FROM s.location
      AND b.lot IS NOT DISTINCT FROM s.lot
WHERE l.quantity IS DISTINCT FROM b.quantity OR l.quantity IN ('NaN', 'Infinity', '-Infinity')
