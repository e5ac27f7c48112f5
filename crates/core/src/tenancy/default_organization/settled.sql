-- The default organization of a migration that is over: it stands in the function that inserts get it from, and in the
-- one that requests get it from; no row where there is neither. Locks: none.
SELECT id
FROM (
    SELECT 1 AS place, substring(p.prosrc FROM '\morg := ''([^'']*)''') AS id
    FROM pg_proc AS p WHERE p.oid = to_regprocedure('stockfoil.default_org(text)')
    UNION ALL
    SELECT 2, substring(p.prosrc FROM 'stockfoil\.org_by_id\(''([^'']*)''\)')
    FROM pg_proc AS p WHERE p.oid = to_regprocedure('stockfoil.resolve_org(text, text, text)')
) AS known
WHERE id IS NOT NULL
ORDER BY place
LIMIT 1
