-- What would be lost, or would go on with the old entries, if table $1 were replaced by one that is like it.
-- Locks: nothing but the catalog's own.
SELECT format('foreign key %I of %s refers to its entries', k.conname, k.conrelid::regclass)
FROM pg_catalog.pg_constraint AS k
WHERE k.contype = 'f' AND k.confrelid = $1::bigint::oid
UNION ALL
SELECT format('trigger %I is its own and not the ledger''s', t.tgname)
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
WHERE t.tgrelid = $1::bigint::oid AND NOT t.tgisinternal AND t.tgparentid = 0
  AND p.pronamespace IS DISTINCT FROM to_regnamespace('stockfoil')::oid
UNION ALL
SELECT format('rule %I is its own and not the ledger''s', r.rulename)
FROM pg_catalog.pg_rewrite AS r
WHERE r.ev_class = $1::bigint::oid
UNION ALL
SELECT DISTINCT format('view %s reads it and not the ledger', r.ev_class::regclass)
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::bigint::oid AND r.ev_class <> $1::bigint::oid
UNION ALL
SELECT format('publication %I names it and not the ledger', p.pubname)
FROM pg_catalog.pg_publication_rel AS r
JOIN pg_catalog.pg_publication AS p ON p.oid = r.prpubid
WHERE r.prrelid = $1::bigint::oid
UNION ALL
SELECT 'it is UNLOGGED' FROM pg_catalog.pg_class AS c WHERE c.oid = $1::bigint::oid AND c.relpersistence = 'u'
ORDER BY 1
LIMIT 5
