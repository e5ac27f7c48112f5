-- Whom runs of data-assign moved from organization $1 to $2 that were not put back; $3 and $4 are the users' schema and table.
-- Locks: nothing.
SELECT DISTINCT k.key
FROM stockfoil.move AS m
JOIN stockfoil.run AS r ON r.id = m.run_id
CROSS JOIN unnest(m.keys) AS k (key)
WHERE r.command = 'data-assign' AND m.from_org = $1 AND m.to_org = $2 AND m.copies IS NULL AND m.undone_run IS NULL
  AND m.schema_name = $3 AND m.table_name = $4
