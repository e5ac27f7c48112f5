-- Tables and views beside the tables $1, in their schemas, that role $3 may not read; $2 is the organization's column. Those that
-- hold rows of organizations, or may, have no GRANT: one would open them to all. Locks: none.
WITH RECURSIVE tied AS MATERIALIZED ({tied}), closed (oid, why) AS (
    SELECT t.oid, coalesce(t.why, CASE WHEN t.relkind = 'f' THEN 'lies on another server' ELSE 'is called as what is made for one person or request' END)
    FROM tied AS t WHERE t.why IS NOT NULL OR t.is_guess OR t.relkind = 'f'
    UNION
    -- What shows the rows of such a table, or of a guarded one, as its owner.
    SELECT r.ev_class, 'reads such rows as its owner'
    FROM (SELECT to_regclass(t)::oid AS oid FROM unnest($1::text[]) AS t UNION SELECT k.oid FROM tied AS k WHERE k.why IS NOT NULL OR k.is_guess OR k.relkind = 'f') AS s
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS r ON r.oid = d.objid AND r.ev_type = '1' AND r.ev_class <> s.oid
    UNION
    SELECT r.ev_class, closed.why
    FROM closed
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = closed.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS r ON r.oid = d.objid AND r.ev_type = '1' AND r.ev_class <> closed.oid
)
SELECT regexp_replace(c.oid::regclass::text, '^public\.', ''), format('GRANT SELECT ON %s TO %I', c.oid::regclass, $3::text),
       (SELECT string_agg(DISTINCT closed.why, ', and ') FROM closed
        WHERE closed.oid = c.oid
          -- A view that reads as whoever asks shows no more than that one may see.
          AND NOT (c.relkind = 'v' AND EXISTS (SELECT FROM pg_options_to_table(c.reloptions) AS p WHERE p.option_name = 'security_invoker' AND p.option_value::bool))),
       c.relkind::text
FROM pg_class AS c
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND c.relnamespace IN (SELECT o.relnamespace FROM pg_class AS o WHERE o.oid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t))
  AND c.oid NOT IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t WHERE to_regclass(t) IS NOT NULL)
  AND c.relname <> '_sqlx_migrations' AND $2::text IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = $3 AND has_table_privilege(r.oid, c.oid, 'SELECT'))
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
