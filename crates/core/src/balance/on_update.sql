-- Takes the old entries from their balances and gives the new ones to theirs. A key that nothing changes for is
-- left alone, unless it had no entry before: then it gets its row.
-- Locks: the rows of the balances that change, in key order, until the writer's transaction ends.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    INSERT INTO {balances} AS b ({org}, item_id, location_id, lot_id, qty_canonical, last_ledger_id, last_updated)
    SELECT d.org, d.item, d.location, d.lot,
           CASE WHEN d.odd <= 0 THEN d.delta
                ELSE {refuse}(d.newest, d.org::text, d.item::text, d.location::text, d.lot::text) END,
           d.ledger_id, statement_timestamp()
    FROM (
        -- An old entry that is not a number was never counted; keeping it is allowed, adding one is not.
        SELECT c.org, c.item, c.location, nullif(c.lot, '') AS lot,
               coalesce(sum(c.direction * c.quantity) FILTER (WHERE c.finite), 0) AS delta,
               coalesce(sum(c.direction) FILTER (WHERE NOT c.finite), 0) AS odd,
               max(c.quantity) FILTER (WHERE c.direction > 0 AND NOT c.finite) AS newest,
               max(c.ledger_id COLLATE "C") FILTER (WHERE c.direction > 0) AS ledger_id,
               min(c.direction) > 0 AS only_new
        FROM (
            SELECT -1 AS direction, {org} AS org, {ledger.item} AS item, {ledger.location} AS location, {ledger.lot} AS lot,
                   {ledger.quantity} AS quantity, {ledger.quantity} > '-Infinity' AND {ledger.quantity} < 'Infinity' AS finite,
                   {ledger.id} AS ledger_id
            FROM old_rows
            UNION ALL
            SELECT 1, {org}, {ledger.item}, {ledger.location}, {ledger.lot},
                   {ledger.quantity}, {ledger.quantity} > '-Infinity' AND {ledger.quantity} < 'Infinity',
                   {ledger.id}
            FROM new_rows
        ) AS c
        GROUP BY 1, 2, 3, 4
    ) AS d
    WHERE d.delta <> 0 OR d.odd > 0 OR d.only_new
    ORDER BY d.org COLLATE "C", d.item COLLATE "C", d.location COLLATE "C", d.lot COLLATE "C" NULLS FIRST
    ON CONFLICT ({org}, item_id, location_id, lot_key) DO UPDATE
    SET qty_canonical = b.qty_canonical + EXCLUDED.qty_canonical,
        last_ledger_id = EXCLUDED.last_ledger_id, last_updated = EXCLUDED.last_updated;
    RETURN NULL;
END
$body$
