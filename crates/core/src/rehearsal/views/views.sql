-- The views that read one of the tables $1, themselves or by other views: schema, name, owner, whether an UPDATE and an
-- INSERT through them can work. Locks: none beyond the catalog's own.
WITH RECURSIVE reading AS (
    SELECT t.oid FROM unnest($1::text[]) AS n (name) JOIN pg_class AS t ON t.oid = to_regclass(n.name)
    UNION
    SELECT w.ev_class
    FROM reading
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reading.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS w ON w.oid = d.objid
)
SELECT n.nspname::text, c.relname::text, pg_get_userbyid(c.relowner)::text,
       pg_relation_is_updatable(c.oid, true) & 4 <> 0, pg_relation_is_updatable(c.oid, true) & 8 <> 0
FROM reading
JOIN pg_class AS c ON c.oid = reading.oid AND c.relkind = 'v'
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname <> 'stockfoil'
ORDER BY 1, 2
