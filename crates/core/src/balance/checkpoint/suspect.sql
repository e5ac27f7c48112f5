-- Puts aside the keys of the organizations $1 whose balance is not what is sealed of them and what is not yet.
-- Locks: ACCESS SHARE on balances, which stops no writer.
INSERT INTO pg_temp.stockfoil_suspect (org, item, location, lot)
SELECT u.org, u.item, u.location, u.lot
FROM (
    SELECT c.org, c.item, c.location, c.lot, c.quantity AS ledger_qty, NULL::numeric AS balance_qty
    FROM stockfoil.checkpoint_sum AS c
    WHERE c.org = ANY ($1::text[]::{org.type}[])
    UNION ALL
    SELECT p.org, p.item, p.location, p.lot, p.quantity, NULL
    FROM pg_temp.stockfoil_pending AS p
    WHERE p.org = ANY ($1::text[]::{org.type}[])
    UNION ALL
    SELECT b.org, b.item, b.location, b.lot, NULL, b.quantity
    FROM (
{balance_rows}
    ) AS b
    WHERE b.org = ANY ($1::text[]::{org.type}[])
) AS u
GROUP BY 1, 2, 3, 4
-- What is not a number is told even where the balance is the same.
HAVING sum(u.ledger_qty) IS DISTINCT FROM sum(u.balance_qty)
    OR sum(u.ledger_qty) IN ('NaN', 'Infinity', '-Infinity')
