-- The differences as text, in key order, without putting them aside. $1: only these organizations, or NULL.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
SELECT row_number() OVER () AS n, k.org, k.item, k.location, k.lot, k.ledger_qty, k.balance_qty
FROM (
    SELECT d.org::text, d.item::text, d.location::text, d.lot::text, d.ledger_qty::text, d.balance_qty::text
    FROM (
{difference}
    ) AS d
    ORDER BY {d.order}
) AS k
