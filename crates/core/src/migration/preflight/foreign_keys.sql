-- Foreign keys that refer to a unique key of the tables $1 that has to go; $2 is the organization's column. Locks: none.
WITH key AS ({key_query})
SELECT key.table_name || '.' || key.name,
       'foreign keys refer to it: ' || string_agg(regexp_replace(f.conrelid::regclass::text, '^public\.', '') || '.' || f.conname, ', '
                                                  ORDER BY f.conrelid::regclass::text, f.conname)
FROM key JOIN pg_constraint AS f ON f.contype = 'f' AND f.conindid = key.index
GROUP BY key.table_name, key.name
ORDER BY 1
