-- The repaired keys whose balance is not the sum of their entries even so, with both sides as they are now. $1: only these
-- organizations, or NULL.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
SELECT d.n, d.org::text, d.item::text, d.location::text, d.lot::text, k.ledger_qty::text, k.balance_qty::text
FROM pg_temp.stockfoil_difference AS d
JOIN (
{difference}
) AS k ON k.org = d.org AND k.item = d.item AND k.location = d.location AND k.lot IS NOT DISTINCT FROM d.lot
WHERE d.repair AND $1::text[] IS NULL AND (k.ledger_qty IS NULL AND k.balance_qty = 0) IS NOT TRUE
ORDER BY d.n
