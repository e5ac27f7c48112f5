-- Objects of a schema stockfoil that Stockfoil did not make: none of its tables is there. None where it is. Locks: none.
SELECT string_agg(pg_describe_object(o.classid, o.objid, 0), ', ' ORDER BY 1)
FROM (
    SELECT 'pg_class'::regclass AS classid, c.oid AS objid FROM pg_class AS c
    WHERE c.relnamespace = to_regnamespace('stockfoil') AND c.relkind NOT IN ('i', 'I', 't')
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid FROM pg_proc AS p WHERE p.pronamespace = to_regnamespace('stockfoil')
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid FROM pg_type AS t
    WHERE t.typnamespace = to_regnamespace('stockfoil') AND t.typtype IN ('d', 'e', 'r')
) AS o
WHERE to_regclass('stockfoil.change') IS NULL AND to_regclass('stockfoil.migration') IS NULL
  AND to_regclass('stockfoil.run') IS NULL
