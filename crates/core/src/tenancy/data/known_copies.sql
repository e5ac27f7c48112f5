-- The copies that organization $1 has of rows, by whatever run: each row's key with its copy's. $2 and $3 are schema and
-- table. Locks: ACCESS SHARE, which stops no writer.
INSERT INTO {copies} (old, new)
SELECT DISTINCT ON (1) u.old::{table_key_type}, u.new::{table_key_type}
FROM stockfoil.move AS m
CROSS JOIN unnest(m.keys, m.copies) AS u (old, new)
JOIN {table} AS t ON t.{table_key} = u.new::{table_key_type} AND t.{org} = $1::text::{org.type}
WHERE m.copies IS NOT NULL AND m.to_org = $1 AND m.schema_name = $2 AND m.table_name = $3
ORDER BY 1, m.id DESC
