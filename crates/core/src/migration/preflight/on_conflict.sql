-- The ON CONFLICT clauses, as regular expressions, that need a unique key of the tables $1 that has to go; $2 is the
-- organization's column. Columns are named in any order, and the table by a view right over it that takes
-- writes and has its columns' names as well.
-- Locks: none.
WITH key AS ({key_query}), escaped AS (
    SELECT key.*, i.indnkeyatts AS width, 0 = ANY (i.indkey::int2[]) AS has_expression,
           (SELECT string_agg(regexp_replace(name, '([^a-zA-Z0-9_])', '\\\1', 'g'), '|')
            FROM (SELECT t.relname AS name
                  UNION
                  SELECT v.relname
                  FROM pg_depend AS d
                  JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
                  JOIN pg_class AS v ON v.oid = r.ev_class AND v.relkind = 'v'
                  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = key.relation
                    AND pg_relation_is_updatable(v.oid, false) & 8 <> 0) AS names) AS table_pattern,
           regexp_replace(key.name, '([^a-zA-Z0-9_])', '\\\1', 'g') AS name_pattern,
           part.patterns
    FROM key JOIN pg_class AS t ON t.oid = key.relation JOIN pg_index AS i ON i.indexrelid = key.index
    CROSS JOIN LATERAL (
        SELECT array_agg(regexp_replace(pg_get_indexdef(key.index, place, false), '([^a-zA-Z0-9_])', '\\\1', 'g') ORDER BY place) AS patterns
        FROM generate_series(1, i.indnkeyatts) AS place) AS part
)
SELECT table_name || '.' || name AS object,
       format('insert\s+into\s+(only\s+)?("?[^\s"]+"?\.)?"?(%s)"?\y.*on\s+conflict\s*(%s|on\s+constraint\s+"?%s"?)',
              table_pattern,
              CASE WHEN has_expression OR width = 1 THEN format('\(\s*"?%s"?\s*\)', array_to_string(patterns, '"?\s*,\s*"?'))
                   ELSE format('%s\([^(),]*(,[^(),]*){%s}\)',
                               (SELECT string_agg(format('(?=\(([^)]*[\s,"])?%s["\s,)])', btrim(name, '\"')), '') FROM unnest(patterns) AS name),
                               width - 1)
              END, name_pattern) AS pattern
FROM escaped
