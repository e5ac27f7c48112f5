-- Tables of $1 that can't have the column $2 of their own, with the reason. Locks: none.
SELECT regexp_replace(c.oid::regclass::text, '^public\.', ''),
       CASE WHEN c.relkind = 'f' THEN 'is a foreign table, which can have neither keys nor indexes'
            WHEN c.relkind NOT IN ('r', 'p') THEN 'is not a table'
            WHEN owner.name IS NOT NULL THEN format('belongs to the extension %s: no dump holds it, and the extension makes it again without the column', owner.name)
            WHEN c.reloftype <> 0 THEN format('is a table of the type %s, which alone decides its columns', c.reloftype::regtype)
            ELSE format('has the children %s by inheritance, whose rows would have no key', children.names) END
FROM pg_class AS c
CROSS JOIN LATERAL (
    SELECT string_agg(h.inhrelid::regclass::text, ', ' ORDER BY h.inhrelid::regclass::text) AS names
    FROM pg_inherits AS h
    WHERE h.inhparent = c.oid AND c.relkind = 'r'
      AND h.inhrelid NOT IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
) AS children
LEFT JOIN LATERAL (
    SELECT e.extname AS name FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
) AS owner ON true
WHERE c.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND (c.relkind NOT IN ('r', 'p') OR c.reloftype <> 0 OR children.names IS NOT NULL OR owner.name IS NOT NULL)
  AND $2::text IS NOT NULL
ORDER BY 1
