-- Rules of the tables, and those of what else the application may write that lead to the tables: what they add to a statement
-- runs as the owner of the relation, also that of a view with security_invoker.
-- Locks: ACCESS SHARE on views that may be written, while it is looked whether they pass that on.
WITH RECURSIVE g AS ({given}), written AS MATERIALIZED ({written}), leads (oid) AS (
    SELECT unnest(g.tables) FROM g
    UNION
    SELECT r.ev_class
    FROM leads
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = leads.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS r ON r.oid = d.objid AND r.ev_type = '1'
)
SELECT format('rule %s of %s', r.rulename, r.ev_class::regclass), false,
       format('runs as %s, who owns the %s', c.relowner::regrole, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END),
       format('DROP RULE %I ON %s; a trigger does the same as whoever writes', r.rulename, r.ev_class::regclass),
       concat_ws(' ', c.relowner::regrole, pg_get_ruledef(r.oid))
FROM g, pg_rewrite AS r
JOIN pg_class AS c ON c.oid = r.ev_class
WHERE r.ev_type <> '1'
  AND (r.ev_class = ANY (g.tables)
       OR (r.ev_class IN (SELECT written.oid FROM written)
           AND EXISTS (SELECT FROM pg_depend AS d JOIN leads ON leads.oid = d.refobjid
                       WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class)))
ORDER BY 1
