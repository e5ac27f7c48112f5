-- Takes the deleted entries from their balances. A balance keeps its row when its last entry goes: whoever writes
-- the key at the same time must find it.
-- Locks: the rows of the balances that change, in key order, until the writer's transaction ends.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    INSERT INTO {balances} AS b ({org}, item_id, location_id, lot_id, qty_canonical, last_ledger_id, last_updated)
    SELECT d.org, d.item, d.location, d.lot, -d.quantity, NULL, statement_timestamp()
    FROM (
        -- An entry that is not a number was never counted.
        SELECT {org} AS org, {ledger.item} AS item, {ledger.location} AS location, nullif({ledger.lot}, '') AS lot,
               sum({ledger.quantity}) FILTER (WHERE {ledger.quantity} > '-Infinity' AND {ledger.quantity} < 'Infinity') AS quantity
        FROM old_rows
        GROUP BY 1, 2, 3, 4
    ) AS d
    WHERE d.quantity <> 0
    ORDER BY d.org COLLATE "C", d.item COLLATE "C", d.location COLLATE "C", d.lot COLLATE "C" NULLS FIRST
    ON CONFLICT ({org}, item_id, location_id, lot_key) DO UPDATE
    SET qty_canonical = b.qty_canonical + EXCLUDED.qty_canonical,
        last_ledger_id = EXCLUDED.last_ledger_id, last_updated = EXCLUDED.last_updated;
    RETURN NULL;
END
$body$
