-- Where table $1's index on column $2 (none when empty) and then the definition $3 is or goes: the name of one that is
-- there, else the first of the names $4 that no other relation of the schema has. A name is free too where an INVALID
-- index of the table has it, which a killed build left. Locks: none.
WITH d AS (SELECT ' (' || CASE WHEN $2 = '' THEN '' ELSE quote_ident($2) || ', ' END || $3 AS text)
SELECT name FROM (
    SELECT 0 AS place, c.relname::text AS name
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    CROSS JOIN d
    WHERE i.indrelid = to_regclass($1) AND (i.indisvalid OR c.relkind = 'I') AND i.indisready AND i.indislive
      AND (i.indisunique OR NOT $5::boolean)
      AND right(pg_get_indexdef(i.indexrelid), length(d.text)) = d.text
    UNION ALL
    SELECT n.place, n.name
    FROM unnest($4::text[]) WITH ORDINALITY AS n (name, place)
    WHERE NOT EXISTS (
        SELECT FROM pg_class AS c
        LEFT JOIN pg_index AS i ON i.indexrelid = c.oid AND i.indrelid = to_regclass($1) AND NOT i.indisvalid AND c.relkind = 'i'
        WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass($1))
          AND c.relname = n.name AND i.indexrelid IS NULL)
) AS names
ORDER BY place, name
LIMIT 1
