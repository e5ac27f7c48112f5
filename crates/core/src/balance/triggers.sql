-- The triggers of the ledger's tables $1, and those of other tables that call a function of the balances'. What a partition
-- has from its parent is no trigger of its own. Locks: nothing but the catalog's own.
SELECT n.nspname::text, c.relname::text, t.tgname::text,
       CASE WHEN p.pronamespace = to_regnamespace('stockfoil') AND p.proname LIKE 'balance\_on\_%' THEN p.proname::text END,
       l.oid IS NOT NULL
FROM pg_trigger AS t
JOIN pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN (SELECT to_regclass(name)::oid AS oid FROM unnest($1::text[]) AS name) AS l ON l.oid = c.oid
WHERE t.tgparentid = 0 AND NOT t.tgisinternal
  AND (l.oid IS NOT NULL OR p.pronamespace = to_regnamespace('stockfoil') AND p.proname LIKE 'balance\_on\_%')
ORDER BY 1, 2, 3
