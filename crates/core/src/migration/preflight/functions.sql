-- Functions and rules whose text needs a unique key of the tables $1 that has to go; $2 is the organization's column. Locks: none.
WITH conflict AS ({on_conflict_query}), text AS (
    SELECT 'function ' || p.oid::regprocedure::text AS name, p.prosrc AS body
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
    UNION ALL
    SELECT 'rule ' || r.rulename || ' of ' || regexp_replace(r.ev_class::regclass::text, '^public\.', ''), pg_get_ruledef(r.oid)
    FROM pg_rewrite AS r
    JOIN pg_class AS c ON c.oid = r.ev_class
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE r.ev_type <> '1' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
)
SELECT conflict.object, 'is the ON CONFLICT target of ' || string_agg(text.name, ', ' ORDER BY text.name)
FROM conflict
JOIN text ON text.body ~* conflict.pattern
GROUP BY conflict.object
ORDER BY 1
