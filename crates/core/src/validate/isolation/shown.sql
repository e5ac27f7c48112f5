-- Relations that a statement of those whom the application can be may read, with who and what takes it: what they were granted,
-- and what views that read as their owner show of others. Locks: none.
WITH RECURSIVE granted AS ({granted}), shown (oid, who, takes) AS (
    SELECT w.object, w.who, w.takes FROM granted AS w WHERE w.class = 'pg_class'::regclass AND w.privilege = 'SELECT'
    UNION
    SELECT d.refobjid, shown.who || ' by ' || regexp_replace(shown.oid::regclass::text, '^public\.', ''), shown.takes
    FROM shown
    JOIN pg_class AS c ON c.oid = shown.oid AND c.relkind IN ('v', 'm')
      AND NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) AS p WHERE p.option_name = 'security_invoker' AND p.option_value::bool)
    JOIN pg_rewrite AS r ON r.ev_class = c.oid AND r.ev_type = '1'
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
)
SELECT DISTINCT oid, who, takes FROM shown
