-- What lets code of this database reach other servers or the machine: extensions that connect, and functions in languages
-- that nothing holds back. Locks: none beyond the catalog's own.
SELECT format('extension %I', e.extname)
FROM pg_extension AS e
WHERE e.extname IN ('dblink', 'http', 'pg_net', 'pgsql_http', 'plproxy', 'aws_lambda', 'aws_s3', 'amqp', 'pgmemcache')
UNION ALL
SELECT format('function %s in language %I', p.oid::regprocedure, l.lanname)
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang
WHERE NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c')
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1
LIMIT 1
