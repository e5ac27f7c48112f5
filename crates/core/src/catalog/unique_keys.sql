-- The unique indexes of table $1 but for its primary key, and for WITHOUT OVERLAPS, whose index ranges are compared by. Locks: none beyond the catalog's own.
SELECT c.relname::text AS name,
       ARRAY(SELECT a.attname::text
             FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, position)
             LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum <> 0
             WHERE k.position <= i.indnkeyatts
             ORDER BY k.position) AS columns,
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, position, false)
             FROM generate_series(1, i.indnkeyatts) AS position ORDER BY position) AS parts,
       i.indnullsnotdistinct AS nulls_not_distinct,
       pg_get_expr(i.indpred, i.indrelid) AS predicate,
       -- The definition begins with names only, so their quoted length says where the columns begin.
       substr(pg_get_indexdef(i.indexrelid), 1 + length(format('CREATE UNIQUE INDEX %I ON %s%I.%I USING %I (',
           c.relname, CASE WHEN c.relkind = 'I' THEN 'ONLY ' ELSE '' END, n.nspname, t.relname, am.amname))) AS tail,
       am.amname::text AS method,
       k.oid IS NOT NULL AS is_constraint,
       -- Behind the opening parenthesis; before it stand no names.
       substr(pg_get_constraintdef(k.oid), position('(' IN pg_get_constraintdef(k.oid)) + 1) AS constraint_tail,
       coalesce(k.condeferrable, false) AS is_deferrable,
       coalesce(k.condeferred, false) AS is_deferred,
       i.indisvalid AND i.indisready AND i.indislive AS is_valid,
       ARRAY(SELECT f.conrelid::regclass::text || '.' || f.conname
             FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = i.indexrelid
             ORDER BY 1) AS referenced_by,
       i.indisreplident AS is_replica_identity
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_am am ON am.oid = c.relam
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype = 'u'
WHERE i.indrelid = to_regclass($1) AND i.indisunique AND NOT i.indisprimary AND NOT i.indisexclusion
  -- A partition's part of its parent's key is no key of its own.
  AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid)
ORDER BY c.relname
