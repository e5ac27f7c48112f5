-- What else depends on a unique key of the tables $1 that has to go; $2 is the organization's column. Locks: none.
WITH key AS ({key_query})
SELECT key.table_name || '.' || key.name,
       'is used by ' || string_agg(DISTINCT regexp_replace(pg_describe_object(d.classid, d.objid, 0), ' public\.', ' '), ', ')
FROM key
JOIN pg_depend AS d ON d.deptype = 'n'
 AND (d.refclassid, d.refobjid) IN (('pg_class'::regclass, key.index), ('pg_constraint'::regclass, key.constraint))
WHERE NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (SELECT FROM pg_constraint AS f WHERE f.oid = d.objid AND f.contype = 'f'))
  -- The server's own triggers of a foreign key or a deferrable key.
  AND NOT (d.classid = 'pg_trigger'::regclass AND EXISTS (SELECT FROM pg_trigger AS t WHERE t.oid = d.objid AND t.tgisinternal))
GROUP BY key.table_name, key.name
ORDER BY 1
