-- Puts the keys aside whose closed entries may have changed since the last run: those that a trigger saw change, those of
-- entries of transactions from {watermark} on that say a time before $1 or none, and those with an open finding of it.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
CREATE TEMPORARY TABLE stockfoil_closed_key ON COMMIT DROP AS
SELECT org, item, location, lot FROM pg_temp.stockfoil_dirty WHERE is_changed
UNION
SELECT e.org, {e.item}, {e.location}, {e.lot}
FROM (
{tx_entries}
) AS e
WHERE e.tx >= {watermark} AND (e.created_at < $1 OR e.created_at IS NULL)
UNION
SELECT f.org_id::{org.type}, f.item_id::{item.type}, f.location_id::{location.type}, f.lot_id::{lot.type}
FROM stockfoil.finding AS f
WHERE f.closed_run IS NULL AND f.kind = 'backdated'
