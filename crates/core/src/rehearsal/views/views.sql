-- The views that read one of the tables $1, themselves or by other views: schema, name, those of the tables, whether an INSERT,
-- an UPDATE and a DELETE through them can work, and whether the first is the server's own doing and no trigger's.
-- Locks: none beyond the catalog's own.
WITH RECURSIVE reading AS (
    SELECT t.oid, n.name AS read FROM unnest($1::text[]) AS n (name) JOIN pg_class AS t ON t.oid = to_regclass(n.name)
    UNION
    SELECT w.ev_class, reading.read
    FROM reading
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reading.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS w ON w.oid = d.objid
), views AS (
    SELECT reading.oid, array_agg(reading.read ORDER BY reading.read) AS read FROM reading GROUP BY reading.oid
)
SELECT n.nspname::text AS schema, c.relname::text AS name, v.read, u.events & 8 <> 0 AS inserts, u.events & 4 <> 0 AS updates,
       u.events & 16 <> 0 AS deletes, pg_relation_is_updatable(c.oid, false) & 8 <> 0 AS is_plain
FROM views AS v
JOIN pg_class AS c ON c.oid = v.oid AND c.relkind = 'v'
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT pg_relation_is_updatable(c.oid, true) AS events) AS u
WHERE n.nspname <> 'stockfoil'
ORDER BY 1, 2
