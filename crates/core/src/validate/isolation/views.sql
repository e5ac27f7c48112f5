-- Views and materialized views that read the tables, directly or through each other. Locks: none.
WITH RECURSIVE g AS ({given}),
reads AS (
    SELECT r.ev_class AS oid, d.refobjid AS base
    FROM g, pg_depend AS d JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (g.tables) AND r.ev_class <> d.refobjid
    UNION
    SELECT r.ev_class, reads.base
    FROM reads
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reads.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS r ON r.oid = d.objid AND r.ev_class <> reads.oid
), seen AS (
    SELECT c.oid, c.relkind, o.rolname AS owner, o.rolsuper OR o.rolbypassrls AS bypasses,
           coalesce(has_table_privilege(g.app, c.oid, 'SELECT') OR has_any_column_privilege(g.app, c.oid, 'SELECT'), false) AS is_readable,
           EXISTS (SELECT FROM pg_options_to_table(c.reloptions) AS p WHERE p.option_name = 'security_invoker' AND p.option_value::bool) AS is_invoker,
           string_agg(DISTINCT reads.base::regclass::text, ', ') AS bases, g.app_name
    FROM g, reads
    JOIN pg_class AS c ON c.oid = reads.oid AND c.relkind IN ('v', 'm')
    JOIN pg_roles AS o ON o.oid = c.relowner
    GROUP BY c.oid, c.relkind, c.reloptions, o.rolname, o.rolsuper, o.rolbypassrls, g.app, g.app_name
)
SELECT CASE relkind WHEN 'v' THEN 'view ' ELSE 'materialized view ' END || oid::regclass,
       CASE relkind WHEN 'v' THEN is_invoker ELSE NOT is_readable END,
       format('reads %s %s; %s %s read it', bases,
              CASE WHEN relkind = 'm' THEN 'for everybody, as it was when it was refreshed'
                   WHEN is_invoker THEN 'as whoever asks it'
                   ELSE format('as its owner %s%s', owner, CASE WHEN bypasses THEN ', who bypasses row-level security' ELSE '' END) END,
              app_name, CASE WHEN is_readable THEN 'may' ELSE 'may not' END),
       CASE relkind WHEN 'v' THEN format('ALTER VIEW %s SET (security_invoker = true)', oid::regclass)
                    ELSE format('REVOKE SELECT ON %s FROM PUBLIC, %I; nothing can guard a materialized view', oid::regclass, app_name) END
FROM seen
ORDER BY 1
