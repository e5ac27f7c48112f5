-- The foreign keys between tables of $1 that name an organization (a column of $2) and are not asked of every row: NOT VALID,
-- not enforced, or with triggers that don't fire, on either side or for a partition. Locks: none.
WITH RECURSIVE tables AS (
    SELECT to_regclass(t)::oid AS oid FROM unnest($1::text[]) AS t
), part (root, oid) AS (
    SELECT k.oid, k.oid
    FROM pg_constraint AS k
    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid IN (SELECT oid FROM tables) AND k.confrelid IN (SELECT oid FROM tables)
      AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) AND a.attname = ANY ($2::text[]))
    UNION ALL
    SELECT part.root, k.oid FROM part JOIN pg_constraint AS k ON k.conparentid = part.oid AND k.contype = 'f'
), off AS (
    SELECT part.root, string_agg(DISTINCT t.tgrelid::regclass::text, ', ') AS tables,
           string_agg(DISTINCT format('ALTER TABLE %s ENABLE TRIGGER ALL', t.tgrelid::regclass), '; ') AS remedy
    FROM part JOIN pg_trigger AS t ON t.tgconstraint = part.oid AND t.tgisinternal AND t.tgenabled NOT IN ('O', 'A')
    GROUP BY part.root
)
SELECT format('foreign key %s of %s', k.conname, k.conrelid::regclass),
       concat_ws('; ', CASE WHEN off.tables IS NOT NULL THEN format('is not asked: its triggers on %s are disabled, or fire for replicas alone; rows that break it may have come since, and enabling looks at none', off.tables) END,
                 CASE WHEN NOT is_enforced THEN 'is NOT ENFORCED: no row is asked for it'
                      WHEN NOT k.convalidated THEN 'is NOT VALID: rows from before it may point anywhere' END),
       concat_ws('; ', CASE WHEN NOT is_enforced THEN format('ALTER TABLE %s ALTER CONSTRAINT %I ENFORCED', k.conrelid::regclass, k.conname)
                            WHEN NOT k.convalidated THEN format('ALTER TABLE %s VALIDATE CONSTRAINT %I', k.conrelid::regclass, k.conname) END,
                 off.remedy || format('; or ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %2$I %s',
                                      k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)))
FROM pg_constraint AS k
-- Before 18 each is.
CROSS JOIN LATERAL (SELECT coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) AS is_enforced) AS e
LEFT JOIN off ON off.root = k.oid
WHERE k.oid IN (SELECT root FROM part) AND (NOT k.convalidated OR NOT is_enforced OR off.root IS NOT NULL)
ORDER BY 1
