-- Unique keys and exclusion constraints of tables with the organizations' column. One without that column tells by its
-- refusal that another organization has the same value. Not so where one of its columns is at random; and where all of them are
-- numbers that the database makes, it tells no more than these. A default says nothing of that by itself. Locks: none.
WITH g AS ({given}), columns AS (
    SELECT a.attrelid, a.attnum, a.attname,
           a.atttypid = 'uuid'::regtype OR a.default_text ~* '\m(gen_random_uuid|gen_random_bytes|random|\w*(uuid|ulid|cuid|nanoid|ksuid)\w*)\s*\('
               -- What a function of the application's makes anew each time.
               OR EXISTS (SELECT FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.refobjid AND p.provolatile = 'v'
                          WHERE d.classid = 'pg_attrdef'::regclass AND d.objid = a.default_oid AND d.refclassid = 'pg_proc'::regclass) AS is_random,
           a.attidentity <> '' OR coalesce(a.default_text ~* '\mnextval\s*\(', false) AS is_numbered
    FROM g, (SELECT a.*, f.oid AS default_oid, CASE WHEN a.attgenerated = '' THEN coalesce(pg_get_expr(f.adbin, f.adrelid), '') ELSE '' END AS default_text
             FROM pg_attribute AS a LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
             WHERE a.attnum > 0 AND NOT a.attisdropped) AS a
    WHERE a.attrelid = ANY (g.tables)
)
SELECT format('key %s of %s', c.relname, i.indrelid::regclass), CASE WHEN i.indisprimary THEN has_org OR is_made OR refers ELSE has_org END,
       format('(%s) %s', names,
              CASE WHEN has_org THEN 'is one organization''s'
                   WHEN i.indisprimary AND is_made THEN 'is for all organizations, and the database makes its values'
                   WHEN i.indisprimary AND refers THEN 'is for all organizations, and refers to rows of one'
                   ELSE 'is for all organizations, and the application makes its values: a refusal tells that another organization has one' END),
       CASE WHEN i.indisprimary THEN format('let it begin with %I, or let the database make its values', g.org)
            WHEN i.indisexclusion THEN format('make it with %I WITH =', g.org)
            ELSE 'drop it if it is a left-over, else migrate-org' END, pg_get_indexdef(i.indexrelid)
FROM g, pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
CROSS JOIN LATERAL (
    SELECT string_agg(coalesce(a.attname::text, 'an expression'), ', ' ORDER BY k.place) AS names,
           coalesce(bool_or(a.attname = g.org), false) AS has_org,
           coalesce(bool_or(a.is_random), false) OR (bool_and(coalesce(a.is_numbered, false) OR partitions.it) AND bool_or(coalesce(a.is_numbered, false))) AS is_made,
           coalesce(bool_or(referred.is_random), false) OR (bool_and(coalesce(a.is_numbered, false) OR coalesce(referred.is_numbered, false) OR partitions.it)
                                                           AND bool_or(coalesce(a.is_numbered, false) OR coalesce(referred.is_numbered, false))) AS refers
    FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
    LEFT JOIN columns AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum <> 0
    -- What partitions are made by must be in the key, and says which partition.
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_partitioned_table AS p WHERE p.partrelid = i.indrelid AND k.attnum = ANY (p.partattrs::int2[])) AS it) AS partitions
    LEFT JOIN LATERAL (
        SELECT bool_or(r.is_random) AS is_random, bool_or(r.is_numbered) AS is_numbered
        FROM pg_constraint AS f CROSS JOIN unnest(f.conkey, f.confkey) AS pair (own, theirs)
        JOIN columns AS r ON r.attrelid = f.confrelid AND r.attnum = pair.theirs AND r.attname <> g.org
        WHERE f.contype = 'f' AND f.conrelid = i.indrelid AND pair.own = a.attnum
    ) AS referred ON true
    WHERE k.place <= i.indnkeyatts
) AS columns
WHERE i.indrelid = ANY (g.tables) AND (i.indisunique OR i.indisexclusion)
  AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid)
  AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = i.indrelid AND a.attname = g.org AND NOT a.attisdropped)
  AND i.indrelid NOT IN (SELECT to_regclass(t)::oid FROM unnest($7::text[]) AS t WHERE to_regclass(t) IS NOT NULL)
ORDER BY 1
