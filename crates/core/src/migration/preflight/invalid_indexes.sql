-- The application's INVALID indexes of the tables $1: those that begin neither with the organization's column $2 nor with
-- the ledger's of Stockfoil. They stay as they are. Locks: none.
SELECT regexp_replace(i.indrelid::regclass::text, '^public\.', '') || '.' || c.relname,
       'is INVALID, left by a build that failed or was killed; '
       || CASE WHEN i.indisunique THEN 'it is left as it is, and may refuse rows of one organization because of another''s; ' ELSE '' END
       || 'REINDEX INDEX CONCURRENTLY it, or DROP INDEX CONCURRENTLY it'
       || CASE WHEN i.indisunique THEN ', and run migrate-org again' ELSE '' END
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND NOT (i.indisvalid AND i.indisready AND i.indislive)
  AND a.attname IS DISTINCT FROM $2 AND a.attname IS DISTINCT FROM 'stockfoil_tx'
  AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid)
ORDER BY 1
