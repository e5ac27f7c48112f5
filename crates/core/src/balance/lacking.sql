-- The first $2 keys whose balances lack something. $1: only these organizations, or NULL.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
SELECT d.org::text, d.item::text, d.location::text, d.lot::text
FROM (
{difference}
) AS d
WHERE (d.drift <> 0 AND d.drift > '-Infinity' AND d.drift < 'Infinity' OR d.balance_qty IS NULL)
  AND d.item IS NOT NULL AND d.location IS NOT NULL
ORDER BY {d.order}
LIMIT $2
