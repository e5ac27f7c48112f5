-- Tables of $1 whose rows are ordered by a unique key that has to go; $2 is the organization's column. Locks: none.
WITH key AS ({key_query})
SELECT key.table_name,
       format('is marked to be CLUSTERed on %s, which goes, and the mark with it: ALTER TABLE ... CLUSTER ON another index afterwards', key.name)
FROM key JOIN pg_index AS i ON i.indexrelid = key.index
WHERE i.indisclustered
ORDER BY 1
