-- The functions and procedures whose text names one of the tables called $1, those of triggers of the tables $2, which are the
-- tables with their schemas, and (is_near false) those in PL/pgSQL that make statements of a text or a name that they are given;
-- none of an extension's or of Stockfoil's; with what makes each, and what calls it. A parameter gets the value of the column
-- that it is called after (p_item_id: item_id) in some row, else one of its type; in the further calls other times and numbers,
-- a marker in place of an object and of an array of objects, or of a table's name. Beside these: its body, how its definition
-- begins, what would call it by another name with NULL alone, and the tables whose triggers call it. Locks: ACCESS SHARE on
-- the tables.
SELECT p.oid::int8 AS oid,
       p.oid::regprocedure::text AS signature,
       pg_get_userbyid(p.proowner)::text AS owner,
       pg_get_functiondef(p.oid) AS definition,
       l.lanname = 'plpgsql' AS is_plpgsql,
       near.is_near,
       p.prokind = 'f' AND NOT p.proretset AND (SELECT t.typtype NOT IN ('c', 'p') FROM pg_type AS t WHERE t.oid = p.prorettype) AS is_scalar,
       f.calls[1] AS call,
       CASE WHEN f.calls[1] IS NOT NULL AND p.pronargs > 0 THEN f.calls[2] END AS call_with_nulls,
       f.calls[3:] AS further_calls,
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
    SELECT EXISTS (SELECT FROM unnest($1::text[]) AS t (name) WHERE strpos(lower(pg_get_functiondef(p.oid)), lower(t.name)) > 0)
           OR EXISTS (SELECT FROM pg_trigger AS g
                      WHERE g.tgfoid = p.oid AND NOT g.tgisinternal
                        AND g.tgrelid = ANY (ARRAY(SELECT to_regclass(t)::oid FROM unnest($2::text[]) AS t WHERE to_regclass(t) IS NOT NULL))) AS is_near
) AS near
CROSS JOIN LATERAL (
    -- Those of the parameters that a call gives.
    SELECT array_agg(a.name ORDER BY a.place) AS names
    FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS a (name, mode, place)
    WHERE a.mode IS NULL OR a.mode IN ('i', 'b', 'v')
) AS given
CROSS JOIN LATERAL (
    SELECT array_agg(CASE WHEN p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) AND c.is_callable
                          THEN format(CASE p.prokind WHEN 'p' THEN 'CALL %s(%s)' ELSE 'SELECT * FROM %s(%s)' END, p.oid::regproc, c.args) END
                     ORDER BY c.place) AS calls
    FROM (
        SELECT v.place, coalesce(string_agg(a.value || '::' || format_type(a.kind, NULL), ', ' ORDER BY a.place), '') AS args,
               bool_and(a.value IS NOT NULL) FILTER (WHERE a.place IS NOT NULL) IS NOT FALSE AS is_callable
        FROM unnest(ARRAY['', 'nulls', 'past', 'ahead', 'object', 'objects', 'named past', 'named ahead']) WITH ORDINALITY AS v (name, place)
        LEFT JOIN LATERAL (
            SELECT t.kind, t.place,
                   coalesce(
                       CASE WHEN v.name = 'nulls' THEN 'NULL'
                            WHEN y.typcategory = 'D' AND v.name LIKE '%past' THEN quote_literal('2000-01-01')
                            WHEN y.typcategory = 'D' AND v.name LIKE '%ahead' THEN '(now() + interval ''10 years'')'
                            WHEN t.kind = 'regclass'::regtype AND v.name LIKE 'named%' THEN quote_literal('stockfoil name')
                            WHEN y.typcategory = 'S' AND v.name LIKE 'named%' THEN quote_literal('stockfoil name') END,
                       -- A column of the parameter's name, with or without the usual letters before it.
                       (SELECT format('(SELECT x.%I FROM %s AS x WHERE x.%1$I IS NOT NULL LIMIT 1)', c.attname, c.attrelid::regclass)
                        FROM unnest($2::text[]) WITH ORDINALITY AS m (name, place)
                        JOIN pg_attribute AS c ON c.attrelid = to_regclass(m.name) AND c.attnum > 0 AND NOT c.attisdropped
                        WHERE c.attname = regexp_replace(given.names[t.place], '^(p|in|arg|v|_)_?', '') AND c.atttypid = t.kind
                           OR c.attname = given.names[t.place] AND c.atttypid = t.kind
                        ORDER BY m.place LIMIT 1),
                       CASE y.typcategory
                           WHEN 'N' THEN CASE v.name WHEN 'past' THEN '1000000' WHEN 'ahead' THEN '0' ELSE '1' END
                           WHEN 'S' THEN quote_literal('x')
                           WHEN 'B' THEN 'true'
                           WHEN 'D' THEN 'now()'
                           WHEN 'T' THEN quote_literal('1 day')
                           WHEN 'A' THEN quote_literal('{}')
                           WHEN 'E' THEN (SELECT quote_literal(e.enumlabel) FROM pg_enum AS e WHERE e.enumtypid = y.oid ORDER BY e.enumsortorder LIMIT 1)
                       END,
                       CASE WHEN t.kind = 'uuid'::regtype THEN 'gen_random_uuid()'
                            WHEN t.kind IN ('json'::regtype, 'jsonb'::regtype)
                            THEN quote_literal(CASE v.name WHEN 'object' THEN 'stockfoil object' WHEN 'objects' THEN 'stockfoil objects' ELSE '{}' END)
                            -- A row of a table by its type.
                            WHEN y.typtype = 'c' AND EXISTS (SELECT FROM pg_class AS r WHERE r.oid = y.typrelid AND r.relkind IN ('r', 'p'))
                            THEN format('(SELECT x FROM %s AS x LIMIT 1)', y.typrelid::regclass)
                            WHEN y.typtype = 'c' THEN 'NULL' END) AS value
            FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t (kind, place)
            JOIN pg_type AS y ON y.oid = t.kind) AS a ON true
        GROUP BY v.place) AS c
) AS f
WHERE p.prokind IN ('f', 'p')
  AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'stockfoil')
  AND l.lanname NOT IN ('internal', 'c')
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  AND (near.is_near
       OR l.lanname = 'plpgsql' AND p.prosrc ~* '\mexecute\M'
          AND EXISTS (SELECT FROM unnest(p.proargtypes::oid[]) AS t (kind) JOIN pg_type AS y ON y.oid = t.kind
                      WHERE y.typcategory = 'S' OR t.kind = 'regclass'::regtype))
ORDER BY 2
