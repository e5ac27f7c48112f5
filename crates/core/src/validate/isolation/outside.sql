-- Tables that hold rows of organizations and are not guarded: those with the organizations' column, children by
-- inheritance, and those that refer to guarded rows. Locks: none.
WITH g AS ({given}), granted AS MATERIALIZED ({granted})
SELECT 'table ' || c.oid::regclass, false,
       CASE WHEN parent.name IS NOT NULL THEN format('is a child of %s by inheritance: asked by its own name, nothing guards its rows', parent.name)
            ELSE format('has a column %s, and is not among the tenant tables', g.org) END,
       CASE WHEN parent.name IS NOT NULL THEN format('ALTER TABLE %s NO INHERIT %s', c.oid::regclass, parent.name)
            ELSE 'add it to [tenancy] tables, then migrate-org and migrate-org --finalize --isolate' END
FROM g, pg_class AS c
LEFT JOIN LATERAL (
    SELECT string_agg(h.inhparent::regclass::text, ', ') AS name FROM g, pg_inherits AS h WHERE h.inhrelid = c.oid AND h.inhparent = ANY (g.tables)
) AS parent ON true
WHERE c.relkind IN ('r', 'p', 'f') AND c.oid <> ALL (g.tables) AND NOT c.relispartition
  AND c.relnamespace IS DISTINCT FROM to_regnamespace('stockfoil')::oid AND c.relpersistence <> 't'
  AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = g.org AND NOT a.attisdropped)
UNION ALL
SELECT 'table ' || c.oid::regclass, writers.who IS NULL,
       format('refers to rows of %s, and belongs to no organization; %s write it', names, coalesce(writers.who || ' may', g.app_name || ' may not')),
       'add it to [tenancy] tables, then migrate-org and migrate-org --finalize --isolate'
FROM g
CROSS JOIN LATERAL (
    SELECT f.conrelid AS oid, string_agg(DISTINCT f.confrelid::regclass::text, ', ') AS names
    FROM pg_constraint AS f
    WHERE f.contype = 'f' AND f.confrelid = ANY (g.tables) AND f.conrelid <> ALL (g.tables) AND f.conparentid = 0
    GROUP BY f.conrelid
) AS f
CROSS JOIN LATERAL (
    SELECT string_agg(DISTINCT w.who, ', ') AS who
    FROM granted AS w WHERE w.class = 'pg_class'::regclass AND w.object = f.oid AND w.privilege IN ('INSERT', 'UPDATE')
) AS writers
JOIN pg_class AS c ON c.oid = f.oid AND c.relnamespace IS DISTINCT FROM to_regnamespace('stockfoil')::oid
WHERE NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = g.org AND NOT a.attisdropped)
ORDER BY 1
