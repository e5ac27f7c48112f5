-- Whom runs of the command $1 moved from organization $2 to $3 that were not put back; $4 and $5 are the users' schema and table.
-- Locks: nothing.
SELECT DISTINCT k.key
FROM stockfoil.move AS m
JOIN stockfoil.run AS r ON r.id = m.run_id
CROSS JOIN unnest(m.keys) AS k (key)
WHERE r.command = $1 AND m.from_org = $2 AND m.to_org = $3 AND m.copies IS NULL AND m.undone_run IS NULL
  AND m.schema_name = $4 AND m.table_name = $5
