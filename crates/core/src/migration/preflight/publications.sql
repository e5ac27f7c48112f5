-- Publications of the tables $1 that do not have the column $2 yet, but for those that name the columns they publish. One of
-- all tables, or of the tables' schema, publishes the tables that are made, too. Locks: none.
SELECT regexp_replace(t.oid::regclass::text, '^public\.', ''),
       'is published by ' || string_agg(DISTINCT p.pubname, ', ' ORDER BY p.pubname)
       || ', and a subscriber without the column stops'
       || CASE WHEN bool_or(b.puballtables OR s.pnpubid IS NOT NULL)
               THEN '; so does one without the tables that are made, as all tables there are published' ELSE '' END
FROM pg_class AS t
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_publication_tables AS p ON p.schemaname = n.nspname AND p.tablename = t.relname
JOIN pg_publication AS b ON b.pubname = p.pubname
LEFT JOIN pg_publication_namespace AS s ON s.pnpubid = b.oid AND s.pnnspid = n.oid
WHERE t.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND NOT EXISTS (SELECT FROM pg_publication_rel AS r WHERE r.prpubid = b.oid AND r.prrelid = t.oid AND r.prattrs IS NOT NULL)
  AND NOT EXISTS (SELECT FROM pg_attribute AS a
                  WHERE a.attrelid = t.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped)
GROUP BY t.oid
ORDER BY 1
