-- The keys of the tables $1 that stay unique across organizations, whose column is $2: exclusion constraints and unique
-- constraints WITHOUT OVERLAPS that do not compare it, and primary keys of values that people give (no default, no identity, no uuid, no foreign key's column, no
-- name of an id). Answers the key as table.name, and what it is. Locks: none.
WITH own AS (
    SELECT k.oid, k.conrelid, k.conname, k.conkey,
           -- A primary key WITHOUT OVERLAPS has an index that excludes, too.
           CASE WHEN i.indisexclusion AND k.contype <> 'x' THEN 'o' ELSE k.contype END AS kind
    FROM pg_constraint AS k
    JOIN pg_index AS i ON i.indexrelid = k.conindid
    WHERE (k.contype IN ('p', 'x') OR (k.contype = 'u' AND i.indisexclusion)) AND k.conparentid = 0
      AND k.conrelid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
      AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = k.conrelid AND a.attname = $2 AND a.attnum = ANY (k.conkey))
)
SELECT regexp_replace(k.conrelid::regclass::text, '^public\.', '') || '.' || k.conname,
       CASE k.kind
           WHEN 'x' THEN 'an exclusion constraint'
           WHEN 'o' THEN 'a key WITHOUT OVERLAPS'
           ELSE format('a primary key of (%s)', (
               SELECT string_agg(a.attname, ', ' ORDER BY u.place)
               FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
               JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum))
       END
FROM own AS k
WHERE k.kind IN ('x', 'o') OR NOT EXISTS (
    SELECT FROM pg_attribute AS a
    WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
      AND (a.atthasdef OR a.attidentity <> '' OR a.atttypid = 'uuid'::regtype
           OR a.attname ~* '(^|_)(id|uuid|guid|key|pk|oid)$' OR a.attname ~ '[a-z](Id|ID|Uuid|UUID|Guid)$'
           OR lower(a.attname) = lower((SELECT relname FROM pg_class WHERE oid = k.conrelid)) || 'id'
           OR EXISTS (SELECT FROM pg_constraint AS f
                      WHERE f.contype = 'f' AND f.conrelid = k.conrelid AND a.attnum = ANY (f.conkey))))
ORDER BY 1
