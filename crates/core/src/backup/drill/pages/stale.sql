-- The indexes over texts whose collation has another version here than it had when it was looked at last.
-- Locks: none.
SELECT DISTINCT current_database() || '.' || n.nspname || '.' || c.relname
FROM pg_catalog.pg_index AS i
CROSS JOIN LATERAL unnest(i.indcollation::oid[]) AS used (oid)
JOIN pg_catalog.pg_collation AS co ON co.oid = used.oid
JOIN pg_catalog.pg_database AS d ON d.datname = current_database()
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE CASE co.collprovider
    WHEN 'd' THEN d.datcollversion IS NOT NULL
        AND d.datcollversion IS DISTINCT FROM pg_catalog.pg_database_collation_actual_version(d.oid)
    ELSE co.collversion IS NOT NULL
        AND co.collversion IS DISTINCT FROM pg_catalog.pg_collation_actual_version(co.oid)
END
ORDER BY 1
