-- Functions that run with their owner's rights and that the application reaches: by a call, by a trigger of a relation that it
-- may write, by an event trigger, or by an aggregate, of which none but the first asks whether the caller may execute it; and
-- Stockfoil's own, whose owner must bypass row-level security.
-- Locks: ACCESS SHARE on views that may be written, while it is looked whether they pass that on.
WITH g AS ({given}), ours AS MATERIALIZED ({ours}), written AS MATERIALIZED ({written}), granted AS MATERIALIZED (
    SELECT w.object, w.who, w.takes
    FROM ({granted}) AS w JOIN pg_proc AS p ON p.oid = w.object
    WHERE w.class = 'pg_proc'::regclass
      AND (EXISTS (SELECT FROM ours WHERE has_schema_privilege(ours.role, p.pronamespace, 'USAGE'))
           -- A default, a constraint, a view, an operator or another function calls it without asking for the schema.
           OR EXISTS (SELECT FROM pg_depend AS d
                      WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid AND d.deptype IN ('n', 'a') AND d.classid NOT IN ('pg_trigger'::regclass, 'pg_event_trigger'::regclass)))
), definer AS (
    SELECT p.oid, p.prokind, r.rolname AS owner, r.rolsuper OR r.rolbypassrls AS bypasses, p.proowner = ANY (g.owners) AS is_owner,
           p.pronamespace = to_regnamespace('stockfoil') AND p.proname = ANY (g.own_functions) AS is_own
    FROM g, pg_proc AS p JOIN pg_roles AS r ON r.oid = p.proowner
    WHERE p.prosecdef AND p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
), way (oid, what, takes) AS (
    SELECT d.oid, w.who || ' may execute it', w.takes FROM definer AS d JOIN granted AS w ON w.object = d.oid
    UNION ALL
    SELECT d.oid, format('a trigger of %s calls it', t.tgrelid::regclass), format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)
    FROM definer AS d JOIN pg_trigger AS t ON t.tgfoid = d.oid JOIN written ON written.oid = t.tgrelid
    -- That of a partition is said of the partitioned table.
    WHERE NOT EXISTS (SELECT FROM pg_trigger AS p JOIN written ON written.oid = p.tgrelid WHERE p.oid = t.tgparentid)
    UNION ALL
    SELECT d.oid, format('event trigger %s calls it', e.evtname), format('DROP EVENT TRIGGER %I', e.evtname)
    FROM definer AS d JOIN pg_event_trigger AS e ON e.evtfoid = d.oid
    UNION ALL
    -- The aggregate's owner is who must be allowed to.
    SELECT d.oid, format('aggregate %s, which %s may execute, calls it', a.aggfnoid::oid::regprocedure, w.who), w.takes
    FROM definer AS d
    JOIN pg_aggregate AS a ON d.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
    JOIN pg_proc AS p ON p.oid = a.aggfnoid AND has_function_privilege(p.proowner, d.oid, 'EXECUTE')
    JOIN granted AS w ON w.object = p.oid
)
SELECT CASE d.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || d.oid::regprocedure, is_own AND bypasses,
       CASE WHEN is_own AND bypasses THEN format('is Stockfoil''s own, and runs as %s', owner)
            WHEN is_own THEN format('runs as %s, whom row-level security binds: it fails in a session that has set no organization', owner)
            ELSE format('runs as its owner %s%s; %s', owner,
                        CASE WHEN bypasses THEN ', who bypasses row-level security'
                             WHEN is_owner THEN ', who owns tables and can take their row-level security away' ELSE '' END, ways.what) END,
       CASE WHEN is_own THEN 'migrate-org --finalize --isolate'
            ELSE format('ALTER %s %s SECURITY INVOKER; or %s', CASE d.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, d.oid::regprocedure, ways.takes) END,
       concat_ws(' ', owner, bypasses::text, ways.what, pg_get_functiondef(d.oid))
FROM definer AS d
CROSS JOIN LATERAL (
    -- What a grantee passed on first, while that one can still take it.
    SELECT string_agg(DISTINCT way.what, ', ') AS what, string_agg(DISTINCT way.takes COLLATE "C", '; ' ORDER BY way.takes COLLATE "C" DESC) AS takes
    FROM way WHERE way.oid = d.oid
) AS ways
WHERE is_own OR ways.what IS NOT NULL
ORDER BY 1
