-- Views and materialized views that read the tables, directly or through each other. Locks: none.
WITH RECURSIVE g AS ({given}), granted AS MATERIALIZED ({granted}),
reads AS (
    SELECT r.ev_class AS oid, d.refobjid AS base, r.ev_class AS below
    FROM g, pg_depend AS d JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (g.tables) AND r.ev_class <> d.refobjid
    UNION
    SELECT r.ev_class, reads.base, reads.oid
    FROM reads
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reads.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS r ON r.oid = d.objid AND r.ev_class <> reads.oid
), seen AS (
    SELECT c.oid, c.relkind, o.rolname AS owner, o.rolsuper OR o.rolbypassrls AS bypasses,
           EXISTS (SELECT FROM pg_options_to_table(c.reloptions) AS p WHERE p.option_name = 'security_invoker' AND p.option_value::bool) AS is_invoker,
           string_agg(DISTINCT reads.base::regclass::text, ', ') AS bases,
           -- What it reads through shows as much as it does.
           (SELECT string_agg(pg_get_viewdef(v.oid), ' ' ORDER BY v.oid::regclass::text)
            FROM (WITH RECURSIVE through (oid) AS (SELECT c.oid UNION SELECT r.below FROM reads AS r JOIN through ON through.oid = r.oid)
                  SELECT through.oid FROM through JOIN pg_class AS b ON b.oid = through.oid AND b.relkind IN ('v', 'm')) AS v) AS definition
    FROM reads
    JOIN pg_class AS c ON c.oid = reads.oid AND c.relkind IN ('v', 'm')
    JOIN pg_roles AS o ON o.oid = c.relowner
    GROUP BY c.oid, c.relkind, c.reloptions, o.rolname, o.rolsuper, o.rolbypassrls
)
SELECT CASE relkind WHEN 'v' THEN 'view ' ELSE 'materialized view ' END || oid::regclass,
       CASE relkind WHEN 'v' THEN is_invoker ELSE readers.who IS NULL END,
       format('reads %s %s; %s read it', bases,
              CASE WHEN relkind = 'm' THEN 'for everybody who may read it, since nothing can guard it'
                   WHEN is_invoker THEN 'as whoever asks it'
                   ELSE format('as its owner %s%s', owner, CASE WHEN bypasses THEN ', who bypasses row-level security' ELSE '' END) END,
              coalesce(readers.who || ' may', g.app_name || ' may not')),
       CASE relkind WHEN 'v' THEN format('ALTER VIEW %s SET (security_invoker = true)', oid::regclass)
                    ELSE coalesce(readers.takes, '') END, concat_ws(' ', owner, bypasses::text, readers.who, definition)
FROM g, seen
CROSS JOIN LATERAL (
    SELECT string_agg(DISTINCT w.who, ', ') AS who, string_agg(DISTINCT w.takes COLLATE "C", '; ' ORDER BY w.takes COLLATE "C" DESC) AS takes
    FROM granted AS w WHERE w.class = 'pg_class'::regclass AND w.object = seen.oid AND w.privilege = 'SELECT'
) AS readers
ORDER BY 1
