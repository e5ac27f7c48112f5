-- Unique keys of the tables $1 that have to go and are their replica identity; $2 is the organization's column.
-- Locks: none.
WITH key AS ({key_query})
SELECT key.table_name || '.' || key.name, 'is its replica identity'
FROM key JOIN pg_index AS i ON i.indexrelid = key.index
WHERE i.indisreplident
ORDER BY 1
