-- Puts aside the entries that can't be sealed yet, from {next} on.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
CREATE TEMPORARY TABLE stockfoil_pending ON COMMIT DROP AS
SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, coalesce(e.quantity, 0) AS quantity
FROM (
{tx_entries}
) AS e
WHERE e.tx >= {next}
