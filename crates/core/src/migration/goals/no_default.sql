-- Column $2 of table $1 has no default. Locks: none.
SELECT NOT EXISTS (
    SELECT FROM pg_attribute AS a WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND a.atthasdef)
