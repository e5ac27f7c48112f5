-- Removes rows of zero whose key had no entry, unless a writer holds them or has used them meanwhile. Numbers $1 to $2.
-- Locks: the rows that it removes; it waits for nobody.
WITH empty AS (
    SELECT b.{org} AS org, b.item_id AS item, b.location_id AS location, b.lot_key
    FROM pg_temp.stockfoil_difference AS d
    JOIN {balances} AS b
        ON b.{org} = d.org AND b.item_id = d.item AND b.location_id = d.location AND b.lot_key = coalesce(d.lot, '')
    WHERE d.n BETWEEN $1 AND $2 AND d.ledger_qty IS NULL AND b.qty_canonical = 0
    FOR UPDATE OF b SKIP LOCKED
)
DELETE FROM {balances} AS b
USING empty AS e
WHERE b.{org} = e.org AND b.item_id = e.item AND b.location_id = e.location AND b.lot_key = e.lot_key AND b.qty_canonical = 0
