-- Functions that PostgreSQL or an extension made for nobody but administrators, since they read files, run programs or connect
-- as the server, and that everybody or those whom the application can be may execute nevertheless. Locks: none.
WITH granted AS ({granted})
SELECT 'function ' || p.oid::regprocedure, false,
       format('is for administrators, as %s made it; %s may execute it', coalesce('extension ' || e.extname, 'PostgreSQL'), string_agg(DISTINCT w.who, ', ')),
       string_agg(DISTINCT w.takes COLLATE "C", '; ' ORDER BY w.takes COLLATE "C" DESC), NULL::text
FROM pg_init_privs AS i
JOIN pg_proc AS p ON p.oid = i.objoid
JOIN granted AS w ON w.class = 'pg_proc'::regclass AND w.object = p.oid
LEFT JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = d.refobjid
-- What it gave to roles of the server's own is had by members of those alone.
WHERE i.classoid = 'pg_proc'::regclass AND NOT EXISTS (SELECT FROM aclexplode(i.initprivs) AS a WHERE a.grantee IN (0, w.grantee))
GROUP BY p.oid, e.extname
ORDER BY 1
