-- Unique keys of the tables $1 that do not hold, so that nobody knows what they should keep unique; $2 is the
-- organization's column. Locks: none.
WITH key AS ({key_query})
SELECT table_name || '.' || name, 'is INVALID, left by a build that failed or was killed'
FROM key JOIN pg_index AS i ON i.indexrelid = key.index
WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
ORDER BY 1
