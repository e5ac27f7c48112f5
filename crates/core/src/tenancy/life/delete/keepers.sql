-- Whether the application's triggers or rules may keep rows of table $1 from being deleted, or do something of their own.
-- Locks: none beyond the catalog's own.
SELECT EXISTS (
    SELECT FROM pg_trigger AS t
    JOIN pg_proc AS p ON p.oid = t.tgfoid
    WHERE (t.tgrelid = to_regclass($1) OR t.tgrelid IN (SELECT relid FROM pg_partition_tree(to_regclass($1))))
      AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 8 <> 0
      AND p.pronamespace IS DISTINCT FROM to_regnamespace('stockfoil')
) OR EXISTS (
    SELECT FROM pg_rewrite AS r WHERE r.ev_class = to_regclass($1) AND r.ev_type = '4' AND r.ev_enabled IN ('O', 'A')
)
