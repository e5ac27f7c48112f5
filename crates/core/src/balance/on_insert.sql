-- Adds the new entries to their balances, a key at a time.
-- Locks: the rows of those balances, in key order, until the writer's transaction ends.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    INSERT INTO {balances} AS b ({org}, item_id, location_id, lot_id, qty_canonical, last_ledger_id, last_updated)
    SELECT d.org, d.item, d.location, d.lot,
           CASE WHEN d.delta > '-Infinity' AND d.delta < 'Infinity' THEN d.delta
                ELSE {refuse}(d.delta, d.org::text, d.item::text, d.location::text, d.lot::text) END,
           d.ledger_id, statement_timestamp()
    FROM (
        SELECT {org} AS org, {ledger.item} AS item, {ledger.location} AS location, nullif({ledger.lot}, '') AS lot,
               coalesce(sum({ledger.quantity}), 0) AS delta, max({ledger.id} COLLATE "C") AS ledger_id
        FROM new_rows
        GROUP BY 1, 2, 3, 4
    ) AS d
    -- One order for everybody, so that writers of many keys don't wait for each other in a circle.
    ORDER BY d.org COLLATE "C", d.item COLLATE "C", d.location COLLATE "C", d.lot COLLATE "C" NULLS FIRST
    ON CONFLICT ({org}, item_id, location_id, lot_key) DO UPDATE
    SET qty_canonical = b.qty_canonical + EXCLUDED.qty_canonical,
        last_ledger_id = EXCLUDED.last_ledger_id, last_updated = EXCLUDED.last_updated;
    RETURN NULL;
END
$body$
