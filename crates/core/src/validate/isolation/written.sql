-- Relations that a statement of those whom the application can be may write: the tables, what they were granted, and what that
-- leads to behind their rights, by keys with an action, children, views and rules.
-- Locks: ACCESS SHARE on views that may be written, while it is looked whether they pass that on.
WITH RECURSIVE g AS ({given}), granted AS ({granted}), written (oid) AS (
    SELECT w.object FROM granted AS w WHERE w.class = 'pg_class'::regclass AND w.privilege IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
    UNION
    SELECT unnest(g.tables) FROM g
    UNION
    SELECT way.oid
    FROM written
    CROSS JOIN LATERAL (
        SELECT k.conrelid AS oid FROM pg_constraint AS k
        WHERE k.contype = 'f' AND k.confrelid = written.oid AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
        UNION ALL
        SELECT h.inhrelid FROM pg_inherits AS h WHERE h.inhparent = written.oid
        UNION ALL
        SELECT d.refobjid
        FROM pg_rewrite AS r JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
        -- 28: by UPDATE, INSERT or DELETE.
        WHERE r.ev_class = written.oid AND CASE WHEN r.ev_type = '1' THEN pg_relation_is_updatable(r.ev_class, false) & 28 <> 0 ELSE true END
    ) AS way
)
SELECT DISTINCT oid FROM written
