-- The balances at a time as text, in the order of their keys.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT d.org::text, d.item::text, d.location::text, d.lot::text, d.quantity::text, d.not_a_number, d.undated
FROM (
{sums_at}
) AS d
ORDER BY {d.order}
