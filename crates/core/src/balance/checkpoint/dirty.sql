-- Puts the marked keys aside. What a transaction marks that is still under way is not seen here, and neither is its
-- change.
-- Locks: nothing but a temporary table.
CREATE TEMPORARY TABLE stockfoil_dirty ON COMMIT DROP AS
SELECT DISTINCT org, item, location, lot, {key.weight} AS weight
FROM stockfoil.dirty_key
WHERE org IS NOT NULL
