-- Puts aside the keys that are summed again: the marked ones, and those with an open finding of a difference. What a
-- transaction marks that is still under way is not seen here, and neither is its change. `is_changed`: a trigger saw it
-- change, so that it is not as it was sealed; else a run saw it differ.
-- Locks: nothing but a temporary table.
CREATE TEMPORARY TABLE stockfoil_dirty ON COMMIT DROP AS
SELECT org, item, location, lot, is_changed, is_marked, {key.weight} AS weight
FROM (
    SELECT org, item, location, lot, bool_or(is_changed) AS is_changed, bool_or(is_marked) AS is_marked
    FROM (
        SELECT org, item, location, lot, run_id IS NULL AS is_changed, true AS is_marked
        FROM stockfoil.dirty_key
        WHERE org IS NOT NULL
        UNION ALL
        SELECT org_id::{org.type},
               -- A finding writes a part that a balance lacks as an empty one, which is no value of most types.
               CASE WHEN item_id <> '' OR pg_typeof(NULL::{item.type}) = 'text'::regtype THEN item_id::{item.type} END,
               CASE WHEN location_id <> '' OR pg_typeof(NULL::{location.type}) = 'text'::regtype
                    THEN location_id::{location.type} END,
               lot_id::{lot.type}, false, false
        FROM stockfoil.finding
        WHERE closed_run IS NULL AND kind NOT IN ('changed_history', 'negative', 'backdated')
    ) AS m
    GROUP BY 1, 2, 3, 4
) AS k
