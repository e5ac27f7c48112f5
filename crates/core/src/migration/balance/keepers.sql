-- The triggers and rules of the ledger $1 and its partitions, beside Stockfoil's own, whose text writes the quantity $3 of the
-- balances $2, with their tables. Locks: nothing but the catalog's own.
WITH ledger AS (
    SELECT to_regclass($1)::oid AS oid
    UNION
    SELECT relid FROM pg_partition_tree(to_regclass($1))
), names AS (
    SELECT '(only\s+)?("?[^\s".]+"?\s*\.\s*)?"?' || regexp_replace(c.relname, '([^a-zA-Z0-9_])', '\\\1', 'g') || '("|\M)' AS balances,
           '"?' || regexp_replace($3, '([^a-zA-Z0-9_])', '\\\1', 'g') || '("|\M)' AS quantity
    FROM pg_class AS c WHERE c.oid = to_regclass($2)
), balances AS (
    -- What leaves the quantity alone keeps something else of the application's in the same rows.
    SELECT format('\m(merge\s+into\s+%1$s|insert\s+into\s+%1$s\s*(as\s+\w+\s*)?(\([^)]*%2$s|(values|select|table|with)\M)|update\s+%1$s[^;]*\mset\M[^;]*[\s(,]%2$s\s*(=|,|\)))',
                  balances, quantity) AS writes
    FROM names
)
SELECT 'trigger ' || t.tgname, n.nspname::text, c.relname::text
FROM pg_trigger AS t
JOIN ledger ON ledger.oid = t.tgrelid
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_proc AS p ON p.oid = t.tgfoid
CROSS JOIN balances
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D'
  AND p.pronamespace IS DISTINCT FROM to_regnamespace('stockfoil') AND p.prosrc ~* balances.writes
UNION
SELECT 'rule ' || r.rulename, n.nspname::text, c.relname::text
FROM pg_rewrite AS r
JOIN ledger ON ledger.oid = r.ev_class
JOIN pg_class AS c ON c.oid = r.ev_class
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN balances
WHERE r.ev_enabled <> 'D' AND pg_get_ruledef(r.oid) ~* balances.writes
ORDER BY 1, 2, 3
