-- The functions and procedures whose text names one of the tables called $1 ($2: the same with their schemas), none of
-- an extension's or of Stockfoil's; with what makes each, and what calls it. A parameter gets the value of the column
-- that it is called after (p_item_id: item_id) in some row, else one of its type. Beside these: its body, how its definition
-- begins, what would call it by another name with NULL alone, and the tables whose triggers call it. Locks: ACCESS SHARE on
-- the tables.
SELECT p.oid::int8 AS oid,
       p.oid::regprocedure::text AS signature,
       pg_get_userbyid(p.proowner)::text AS owner,
       pg_get_functiondef(p.oid) AS definition,
       l.lanname = 'plpgsql' AS is_plpgsql,
       p.prokind = 'f' AND NOT p.proretset AND (SELECT t.typtype NOT IN ('c', 'p') FROM pg_type AS t WHERE t.oid = p.prorettype) AS is_scalar,
       CASE WHEN f.is_callable THEN format(f.form, p.oid::regproc, f.args) END AS call,
       CASE WHEN f.is_callable AND p.pronargs > 0 THEN format(f.form, p.oid::regproc, f.nulls) END AS call_with_nulls,
       p.prosrc AS source,
       format('CREATE OR REPLACE %s %I.%I(', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, n.nspname, p.proname) AS begin,
       format(CASE p.prokind WHEN 'p' THEN 'CALL %s(%s)' ELSE 'SELECT %s(%s)' END, 'pg_temp.stockfoil_plan',
              -- A procedure is called with its OUT parameters too.
              (SELECT string_agg(CASE WHEN p.provariadic <> 0 AND t.kind = p.proargtypes[p.pronargs - 1] AND t.place = p.pronargs THEN 'VARIADIC ' ELSE '' END
                                 || 'NULL::' || format_type(t.kind, NULL), ', ' ORDER BY t.place)
               FROM unnest(CASE WHEN p.prokind = 'p' AND p.proallargtypes IS NOT NULL THEN p.proallargtypes ELSE p.proargtypes::oid[] END)
                    WITH ORDINALITY AS t (kind, place))) AS plan,
       CASE WHEN p.prorettype = 'trigger'::regtype
            THEN ARRAY(SELECT DISTINCT g.tgrelid::regclass::text FROM pg_trigger AS g WHERE g.tgfoid = p.oid AND g.tgparentid = 0 ORDER BY 1)
            ELSE '{}' END AS fired_by
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang
JOIN pg_namespace AS n ON n.oid = p.pronamespace
CROSS JOIN LATERAL (
    SELECT p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) AND bool_and(a.value IS NOT NULL) IS NOT FALSE AS is_callable,
           CASE p.prokind WHEN 'p' THEN 'CALL %s(%s)' ELSE 'SELECT * FROM %s(%s)' END AS form,
           coalesce(string_agg(a.value || '::' || format_type(a.kind, NULL), ', ' ORDER BY a.place), '') AS args,
           coalesce(string_agg('NULL::' || format_type(a.kind, NULL), ', ' ORDER BY a.place), '') AS nulls
    FROM (SELECT t.kind, t.place,
                 coalesce(
                     -- A column of the parameter's name, with or without the usual letters before it.
                     (SELECT format('(SELECT x.%I FROM %s AS x WHERE x.%1$I IS NOT NULL LIMIT 1)', c.attname, c.attrelid::regclass)
                      FROM unnest($2::text[]) WITH ORDINALITY AS m (name, place)
                      JOIN pg_attribute AS c ON c.attrelid = to_regclass(m.name) AND c.attnum > 0 AND NOT c.attisdropped
                      WHERE c.attname = regexp_replace(p.proargnames[t.place], '^(p|in|arg|v|_)_?', '') AND c.atttypid = t.kind
                         OR c.attname = p.proargnames[t.place] AND c.atttypid = t.kind
                      ORDER BY m.place LIMIT 1),
                     CASE y.typcategory
                         WHEN 'N' THEN '1'
                         WHEN 'S' THEN quote_literal('x')
                         WHEN 'B' THEN 'true'
                         WHEN 'D' THEN 'now()'
                         WHEN 'T' THEN quote_literal('1 day')
                         WHEN 'A' THEN quote_literal('{}')
                         WHEN 'E' THEN (SELECT quote_literal(e.enumlabel) FROM pg_enum AS e WHERE e.enumtypid = y.oid ORDER BY e.enumsortorder LIMIT 1)
                     END,
                     CASE WHEN t.kind = 'uuid'::regtype THEN 'gen_random_uuid()'
                          WHEN t.kind IN ('json'::regtype, 'jsonb'::regtype) THEN quote_literal('{}')
                          WHEN y.typtype = 'c' THEN 'NULL' END) AS value
          FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t (kind, place)
          JOIN pg_type AS y ON y.oid = t.kind) AS a
) AS f
WHERE p.prokind IN ('f', 'p')
  AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'stockfoil')
  AND l.lanname NOT IN ('internal', 'c')
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  AND EXISTS (SELECT FROM unnest($1::text[]) AS t (name) WHERE strpos(lower(pg_get_functiondef(p.oid)), lower(t.name)) > 0)
ORDER BY 2
