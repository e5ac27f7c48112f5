-- The rows put aside that are no longer where the run put them, and where they are: none where they are gone.
-- Locks: ACCESS SHARE, which stops no writer.
SELECT {c.key_text} AS key, t.{org}::text AS org
FROM {closure} AS c
LEFT JOIN {table} AS t ON {t.is_c}
WHERE t.{org}::text IS DISTINCT FROM c.org
ORDER BY 1
