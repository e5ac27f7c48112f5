-- What run $1 has moved, by table, and whether that is the table of balances with schema $2 and name $3.
-- Locks: ACCESS SHARE, which stops no writer.
SELECT CASE schema_name WHEN 'public' THEN table_name ELSE schema_name || '.' || table_name END AS plain,
       schema_name = $2 AND table_name = $3 AS is_balances,
       sum(cardinality(keys))::bigint AS moved_rows
FROM stockfoil.move
WHERE run_id = $1 AND copies IS NULL AND undone_run IS NULL AND schema_name <> 'stockfoil'
GROUP BY 1, 2
ORDER BY 1
