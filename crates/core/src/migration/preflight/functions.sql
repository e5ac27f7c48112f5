-- Functions whose text needs a unique key of the tables $1 that has to go; $2 is the organization's column. Locks: none.
WITH conflict AS ({on_conflict_query})
SELECT conflict.object, 'is the ON CONFLICT target of ' || string_agg('function ' || p.oid::regprocedure::text, ', ' ORDER BY p.oid::regprocedure::text)
FROM conflict
JOIN pg_proc AS p ON p.prosrc ~* conflict.pattern
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
GROUP BY conflict.object
ORDER BY 1
