-- Columns $2 of the tables $1 that are there already and can't hold an organization of type $3. Locks: none.
SELECT regexp_replace(a.attrelid::regclass::text, '^public\.', '') || '.' || a.attname,
       CASE WHEN a.attgenerated <> '' THEN 'is a generated column'
            WHEN a.attidentity <> '' THEN 'is an identity column'
            WHEN n.conname IS NOT NULL AND format_type(a.atttypid, a.atttypmod) = $3::text
            THEN format('is NOT NULL by constraint %I, which is NOT VALID: rows from before it may have none', n.conname)
            ELSE format('has type %s, not %s', format_type(a.atttypid, a.atttypmod), $3::text) END
FROM pg_attribute AS a
LEFT JOIN pg_constraint AS n ON n.contype = 'n' AND n.conrelid = a.attrelid AND a.attnum = ANY (n.conkey) AND NOT n.convalidated
WHERE a.attrelid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped
  AND (a.attgenerated <> '' OR a.attidentity <> '' OR n.conname IS NOT NULL OR format_type(a.atttypid, a.atttypmod) <> $3::text)
ORDER BY 1
