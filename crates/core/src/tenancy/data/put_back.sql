-- What run $1 gave away and nobody has put back, as its records have it; $2 and $3 are schema and table.
-- Locks: nothing but a temporary table.
INSERT INTO {closure} ({closure_keys}, org, follows, move_id)
SELECT {keys_from_id}, m.to_org, true, m.id
FROM stockfoil.move AS m
CROSS JOIN unnest(m.keys) AS i (id)
WHERE m.run_id = $1 AND m.copies IS NULL AND m.undone_run IS NULL AND m.schema_name = $2 AND m.table_name = $3
ON CONFLICT ({closure_keys}) DO NOTHING
