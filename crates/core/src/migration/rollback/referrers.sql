-- What refers to the tables $1 beside them and the tables $2: foreign keys of others, views. Locks: none.
SELECT regexp_replace(t.oid::regclass::text, '^public\.', ''), 'is used by ' || string_agg(DISTINCT s.what, ', ')
FROM pg_class AS t
CROSS JOIN LATERAL (
    SELECT 'foreign key ' || f.conname || ' of ' || regexp_replace(f.conrelid::regclass::text, '^public\.', '') AS what
    FROM pg_constraint AS f
    WHERE f.contype = 'f' AND f.confrelid = t.oid AND f.conparentid = 0
      AND f.conrelid NOT IN (SELECT to_regclass(n)::oid FROM unnest($1::text[] || $2::text[]) AS n WHERE to_regclass(n) IS NOT NULL)
    UNION
    SELECT regexp_replace(pg_describe_object('pg_class'::regclass, r.ev_class, 0), ' public\.', ' ')
    FROM pg_depend AS d JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND r.ev_class <> t.oid
) AS s
WHERE t.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
GROUP BY t.oid
ORDER BY 1
