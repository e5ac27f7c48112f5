-- The differences as text, in key order, without putting them aside. $1: only these organizations, or NULL.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
SELECT row_number() OVER () AS n, d.org, d.item, d.location, d.lot, d.ledger_qty, d.balance_qty
FROM (
    SELECT org, item, location, lot, ledger_qty::text, balance_qty::text
    FROM (
{difference}
    ) AS d
    ORDER BY org COLLATE "C", item COLLATE "C", location COLLATE "C", lot COLLATE "C" NULLS FIRST
) AS d
