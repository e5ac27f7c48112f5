-- Publications that send guarded rows: who subscribes gets every organization's. Locks: none.
WITH g AS ({given})
SELECT 'publication ' || p.pubname, true,
       format('sends the rows of every organization of %s to its subscribers', string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text)),
       '', NULL::text
FROM g, pg_publication AS p
JOIN pg_publication_tables AS t ON t.pubname = p.pubname
JOIN pg_class AS c ON c.relname = t.tablename AND c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = t.schemaname)
WHERE c.oid = ANY (g.tables)
GROUP BY p.pubname
ORDER BY 1
