-- The foreign keys onto the tables $1 (quoted names), each with the places, from 0, of the tables that it joins; none
-- where what refers is no table of the list. Locks: none beyond the catalog's own.
WITH listed AS (
    SELECT to_regclass(t.name)::oid AS relid, t.place - 1 AS place
    FROM unnest($1::text[]) WITH ORDINALITY AS t (name, place)
)
SELECT k.conname::text AS name, child.place AS child, n.nspname::text AS child_schema, c.relname::text AS child_table,
       parent.place AS parent,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, place)
             JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY u.place) AS parent_columns,
       k.condeferrable AS is_deferrable, k.confupdtype IN ('c', 'n', 'd') AS carries
FROM pg_constraint AS k
JOIN listed AS parent ON parent.relid = k.confrelid
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN listed AS child ON child.relid = k.conrelid
-- A partition's part of a key is no key of its own.
WHERE k.contype = 'f' AND k.conparentid = 0
ORDER BY parent.place, child.place, k.conname
