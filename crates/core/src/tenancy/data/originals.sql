-- The rows that the copies are of which run $1's organization has, by whatever run: each copy's key with its row's. $2 and
-- $3 are schema and table. Locks: ACCESS SHARE, which stops no writer.
INSERT INTO {copies} (old, new)
SELECT DISTINCT ON (1) u.copy::{table_key_type}, u.original::{table_key_type}
FROM stockfoil.move AS m
CROSS JOIN unnest(m.keys, m.copies) AS u (original, copy)
JOIN {table} AS t ON t.{table_key} = u.original::{table_key_type} AND t.{org}::text = m.from_org
WHERE m.copies IS NOT NULL AND m.schema_name = $2 AND m.table_name = $3
  AND m.to_org IN (SELECT to_org FROM stockfoil.move WHERE run_id = $1)
ORDER BY 1, m.id DESC
