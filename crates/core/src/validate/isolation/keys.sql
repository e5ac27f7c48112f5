-- Unique keys and exclusion constraints of tables with the organizations' column. One without that column tells by its
-- refusal that another organization has the same value. Locks: none.
WITH g AS ({given})
SELECT format('key %s of %s', c.relname, i.indrelid::regclass), CASE WHEN i.indisprimary THEN has_org OR is_made OR refers ELSE has_org END,
       format('(%s) %s', names,
              CASE WHEN has_org THEN 'is one organization''s'
                   WHEN is_made THEN 'is for all organizations, and the database makes its values'
                   WHEN refers AND i.indisprimary THEN 'is for all organizations, and refers to rows of one'
                   ELSE 'is for all organizations, and the application makes its values: a refusal tells that another organization has one' END),
       CASE WHEN i.indisprimary THEN format('let it begin with %I, or let the database make its values', g.org)
            WHEN i.indisexclusion THEN format('make it with %I WITH =', g.org)
            ELSE 'drop it if it is a left-over, else migrate-org' END
FROM g, pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
CROSS JOIN LATERAL (
    SELECT string_agg(coalesce(a.attname::text, 'an expression'), ', ' ORDER BY k.place) AS names,
           coalesce(bool_or(a.attname = g.org), false) AS has_org,
           coalesce(bool_or(a.atthasdef OR a.attidentity <> '' OR a.atttypid = 'uuid'::regtype), false) AND i.indisprimary AS is_made,
           coalesce(bool_or(EXISTS (SELECT FROM pg_constraint AS f WHERE f.contype = 'f' AND f.conrelid = i.indrelid
                                    AND a.attnum = ANY (f.conkey) AND f.confrelid = ANY (g.tables) AND a.attname <> g.org)), false) AS refers
    FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
    LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum <> 0
    WHERE k.place <= i.indnkeyatts
) AS columns
WHERE i.indrelid = ANY (g.tables) AND (i.indisunique OR i.indisexclusion)
  AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid)
  AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = i.indrelid AND a.attname = g.org AND NOT a.attisdropped)
  AND i.indrelid NOT IN (SELECT to_regclass(t)::oid FROM unnest($7::text[]) AS t WHERE to_regclass(t) IS NOT NULL)
ORDER BY 1
