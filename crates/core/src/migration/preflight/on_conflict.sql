-- The ON CONFLICT clauses, as regular expressions, that need a unique key of the tables $1 that has to go; $2 is the
-- organization's column. Locks: none.
WITH key AS ({key_query}), escaped AS (
    SELECT key.*, regexp_replace(t.relname, '([^a-zA-Z0-9_])', '\\\1', 'g') AS table_pattern,
           regexp_replace(key.name, '([^a-zA-Z0-9_])', '\\\1', 'g') AS name_pattern,
           (SELECT string_agg('"?' || regexp_replace(pg_get_indexdef(key.index, place, false), '([^a-zA-Z0-9_])', '\\\1', 'g') || '"?',
                              '\s*,\s*' ORDER BY place)
            FROM pg_index AS i, generate_series(1, i.indnkeyatts) AS place WHERE i.indexrelid = key.index) AS columns_pattern
    FROM key JOIN pg_class AS t ON t.oid = key.relation
)
SELECT table_name || '.' || name AS object,
       format('insert\s+into\s+(only\s+)?("?[^\s"]+"?\.)?"?%s"?\y.*on\s+conflict\s*(\(\s*%s\s*\)|on\s+constraint\s+"?%s"?)',
              table_pattern, columns_pattern, name_pattern) AS pattern
FROM escaped
