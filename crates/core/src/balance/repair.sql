-- Adds the drift of the keys numbered $2 to $3 to their balances, unless the ledger ($1) is in other files than $4.
-- Locks: the rows of those balances, in key order, and ACCESS SHARE on the ledger, so that no TRUNCATE comes between.
WITH ledger AS MATERIALIZED (
    SELECT (
{ledger_file}
    ) = $4 AS is_same
    WHERE NOT EXISTS (SELECT FROM {ledger} WHERE false)
), repaired AS (
    INSERT INTO {balances} AS b ({org}, item_id, location_id, lot_id, qty_canonical, last_updated)
    SELECT d.org, d.item, d.location, d.lot, d.drift, statement_timestamp()
    FROM pg_temp.stockfoil_difference AS d
    WHERE d.n BETWEEN $2 AND $3 AND d.repair AND (SELECT is_same FROM ledger)
    ORDER BY d.n
    ON CONFLICT ({org}, item_id, location_id, lot_key) DO UPDATE
    SET qty_canonical = b.qty_canonical + EXCLUDED.qty_canonical, last_updated = EXCLUDED.last_updated
    RETURNING 1
)
SELECT (SELECT is_same FROM ledger) AS is_same, (SELECT count(*) FROM repaired) AS repaired
