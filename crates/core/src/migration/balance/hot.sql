-- The CHECK constraints of the quantity $2 of the balances $1 beside Stockfoil's own, and their triggers: what refuses a balance
-- refuses whoever folds another's delta into it. Locks: nothing.
SELECT 'constraint ' || k.conname || ' (' || pg_get_constraintdef(k.oid) || ')'
FROM pg_constraint AS k
JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attname = $2 AND a.attnum = ANY (k.conkey)
WHERE k.conrelid = to_regclass($1) AND k.contype = 'c' AND pg_get_constraintdef(k.oid) !~ '> ''-Infinity''::numeric.* < ''Infinity''::numeric'
UNION ALL
SELECT 'trigger ' || t.tgname
FROM pg_trigger AS t
WHERE t.tgrelid = to_regclass($1) AND NOT t.tgisinternal
ORDER BY 1
