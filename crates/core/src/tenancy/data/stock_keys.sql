-- Puts aside the balances of organization $1 that count entries which are about to move, and where they go.
-- Locks: ACCESS SHARE, which stops no writer.
INSERT INTO pg_temp.stockfoil_stock (item, location, lot, to_item, to_location, to_lot, reserved)
SELECT k.item, k.location, k.lot, {to_item}, {to_location}, {to_lot}, false
FROM (
    SELECT DISTINCT {e.item} AS item, {e.location} AS location, {e.lot} AS lot
    FROM (
{moving_entries}
    ) AS e
) AS k
JOIN (
{balance_rows}
) AS b ON b.org = $1::text::{org.type} AND b.item = k.item AND b.location = k.location AND b.lot IS NOT DISTINCT FROM k.lot
ON CONFLICT (item, location, lot) DO NOTHING
