-- The unique keys of the tables $1 that have no room for the column $2: an index has 32 columns, those of INCLUDE counted.
-- Locks: none.
WITH k AS ({key_query})
SELECT k.table_name || '.' || k.name, 'has 32 columns with those of INCLUDE, and an index takes no more'
FROM k
JOIN pg_index AS i ON i.indexrelid = k.index
WHERE i.indnatts >= 32
ORDER BY 1
