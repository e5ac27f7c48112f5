-- The foreign keys of tables that hold rows: whose, onto what, and over which columns. Locks: none beyond the catalog's
-- own.
SELECT k.conrelid::int8, n.nspname::text, p.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS c (num, place)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = c.num ORDER BY c.place),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS c (num, place)
             JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = c.num ORDER BY c.place)
FROM pg_constraint AS k
JOIN pg_class AS p ON p.oid = k.confrelid
JOIN pg_namespace AS n ON n.oid = p.relnamespace
JOIN pg_class AS c ON c.oid = k.conrelid AND c.relkind = 'r'
WHERE k.contype = 'f'
  -- A partition's part of a key onto a partitioned table names the whole; its copies name each partition.
  AND NOT (k.conparentid <> 0 AND p.relispartition)
