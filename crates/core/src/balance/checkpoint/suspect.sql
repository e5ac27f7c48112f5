-- Puts aside the keys whose balance is not what was sealed of them and what came since.
-- Locks: ACCESS SHARE on balances, which stops no writer.
CREATE TEMPORARY TABLE stockfoil_suspect ON COMMIT DROP AS
SELECT u.org, u.item, u.location, u.lot
FROM (
    SELECT c.org, c.item, c.location, c.lot, c.quantity AS ledger_qty, NULL::numeric AS balance_qty
    FROM stockfoil.checkpoint_sum AS c
    WHERE NOT EXISTS (SELECT FROM pg_temp.stockfoil_turn AS t WHERE t.org = c.org)
      AND NOT EXISTS (SELECT FROM pg_temp.stockfoil_dirty AS d
                      WHERE d.org = c.org AND d.item = c.item AND d.location = c.location
                        AND d.lot IS NOT DISTINCT FROM c.lot)
    UNION ALL
    SELECT s.org, s.item, s.location, s.lot, s.quantity, NULL
    FROM pg_temp.stockfoil_sum AS s
    UNION ALL
    SELECT b.org, b.item, b.location, b.lot, NULL, b.quantity
    FROM (
{balance_rows}
    ) AS b
) AS u
GROUP BY 1, 2, 3, 4
-- What is not a number is told even where the balance is the same.
HAVING sum(u.ledger_qty) IS DISTINCT FROM sum(u.balance_qty)
    OR sum(u.ledger_qty) IN ('NaN', 'Infinity', '-Infinity')
