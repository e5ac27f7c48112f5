-- Routines that send notifications and that triggers of the tables reach, by calls of others too: whoever listens in the database
-- gets the payload, whosever row it was made of. By the routines' text, of which lines of comment are left out. Locks: none.
WITH RECURSIVE g AS ({given}), routine AS (
    SELECT p.oid, p.proname, regexp_replace(pg_get_functiondef(p.oid), '^\s*--[^\n]*', '', 'gn') AS body
    FROM pg_proc AS p
    WHERE p.prokind IN ('f', 'p') AND p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
), reached (oid, by) AS (
    SELECT t.tgfoid, format('trigger %s of %s', t.tgname, t.tgrelid::regclass)
    FROM g JOIN pg_trigger AS t ON t.tgrelid = ANY (g.tables)
    WHERE NOT t.tgisinternal AND t.tgparentid = 0
    UNION
    SELECT called.oid, reached.by
    FROM reached JOIN routine AS r ON r.oid = reached.oid
    JOIN routine AS called ON called.oid <> r.oid AND strpos(r.body, called.proname) > 0
                          AND r.body ~ ('\m' || regexp_replace(called.proname, '(\W)', '\\\1', 'g') || '"?\s*\(')
)
SELECT 'function ' || r.oid::regprocedure, NULL::boolean,
       format('notifies, and %s reaches it: every session that listens in this database gets the payload, whatever its organization', by.reached),
       'send no content of rows, but a key that only its organization reads a row by; a channel for each organization keeps nothing apart, since any login may LISTEN on any',
       concat_ws(' ', by.reached, r.body)
FROM routine AS r
JOIN (SELECT oid, string_agg(DISTINCT reached.by, ', ') AS reached FROM reached GROUP BY oid) AS by ON by.oid = r.oid
WHERE r.body ~* '\mpg_notify"?\s*\(' OR r.body ~* '(;|\mbegin|\mthen|\melse|\mloop|[''$])\s*notify\s+["%\w]'
ORDER BY 1
