-- The foreign keys between tables of $1 whose columns don't pair the organizations', which are called $2. Those that are
-- a partition's part of its parent's are left out. Locks: none.
SELECT n.nspname::text AS schema_name, c.relname::text AS table_name, k.conname::text AS name,
       rn.nspname::text AS referenced_schema, r.relname::text AS referenced_table,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS p (attnum, place)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = p.attnum ORDER BY p.place) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS p (attnum, place)
             JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = p.attnum ORDER BY p.place) AS referenced_columns,
       (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY p.place) || ')' FROM unnest(k.confkey) WITH ORDINALITY AS p (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = p.attnum) AS referenced_tail,
       k.confupdtype::text AS on_update, k.confdeltype::text AS on_delete,
       ARRAY(SELECT a.attname::text FROM unnest(k.confdelsetcols) WITH ORDINALITY AS p (attnum, place)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = p.attnum ORDER BY p.place) AS set_columns,
       k.confmatchtype = 'f' AS is_match_full,
       EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) AND NOT a.attnotnull) AS is_nullable,
       k.condeferred AS is_deferred, k.convalidated AS is_valid,
       -- Columns of the catalog since PostgreSQL 18.
       coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) AS is_enforced,
       coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false) AS is_period
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS r ON r.oid = k.confrelid
JOIN pg_namespace AS rn ON rn.oid = r.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
  AND k.conrelid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t)
  AND k.confrelid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t)
  AND NOT EXISTS (SELECT FROM unnest(k.conkey, k.confkey) AS p (attnum, referenced)
                  JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = p.attnum AND a.attname = $2
                  JOIN pg_attribute AS b ON b.attrelid = k.confrelid AND b.attnum = p.referenced AND b.attname = $2)
ORDER BY 1, 2, 3
