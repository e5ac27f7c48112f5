-- The foreign key on column $2 of table $1 alone onto id of table $3, a valid one before others.
-- Locks: none beyond the catalog's own.
SELECT k.conname::text, k.convalidated,
       NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgconstraint = k.oid AND t.tgisinternal AND t.tgenabled NOT IN ('O', 'A'))
FROM pg_constraint k
WHERE k.contype = 'f' AND k.conrelid = to_regclass($1) AND k.confrelid = to_regclass($3)
  AND k.conkey = ARRAY(SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attname = $2)
  AND k.confkey = ARRAY(SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attname = 'id')
ORDER BY k.convalidated DESC, k.conname
LIMIT 1
