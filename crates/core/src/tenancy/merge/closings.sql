-- Gives what was closed of organization $2 to organization $3, and records it for run $1: the entries that it is about have
-- gone there. Locks: rows of stockfoil.closing_balance, and the new row of stockfoil.move.
WITH gone AS (
    DELETE FROM stockfoil.closing_balance AS c WHERE c.org_id = $2 RETURNING c.*
), came AS (
    INSERT INTO stockfoil.closing_balance AS b (closing_id, org_id, item_id, location_id, lot_id, quantity, entries, hash)
    SELECT closing_id, $3, item_id, location_id, lot_id, quantity, entries, hash FROM gone
    ON CONFLICT (closing_id, org_id, item_id, location_id, lot_id)
    DO UPDATE SET quantity = b.quantity + EXCLUDED.quantity, entries = b.entries + EXCLUDED.entries, hash = b.hash # EXCLUDED.hash
)
INSERT INTO stockfoil.move (run_id, schema_name, table_name, from_org, to_org, keys)
SELECT $1, 'stockfoil', 'closing_balance', $2, $3,
       array_agg(jsonb_build_array(closing_id, item_id, location_id, lot_id, quantity, entries, hash)::text)
FROM gone
HAVING count(*) > 0
