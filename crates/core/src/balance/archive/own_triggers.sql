-- The triggers of table $1 that call a function of the balances', but for what comes with the ledger's own.
-- Locks: nothing but the catalog's own.
SELECT t.tgname::text
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
WHERE t.tgrelid = $1::bigint::oid AND NOT t.tgisinternal AND t.tgparentid = 0
  AND p.pronamespace = to_regnamespace('stockfoil') AND p.proname LIKE 'balance\_on\_%'
ORDER BY 1
