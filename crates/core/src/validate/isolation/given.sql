-- What the looks at isolation go by: the tables $1 with what the application may do with each ($2, a comma-separated list),
-- its role $3, the operations role $4, the organizations' column $5, and Stockfoil's own functions $6. Locks: none.
SELECT ARRAY(SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t) AS tables, $2::text[] AS rights,
       $3::text AS app_name, (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = $3) AS app,
       $4::text AS ops_name, (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = $4) AS ops,
       $5::text AS org, $6::text[] AS own_functions,
       ARRAY(SELECT DISTINCT c.relowner FROM pg_class AS c WHERE c.oid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t)) AS owners,
       -- What the tables' columns take their numbers from.
       ARRAY(SELECT s.oid FROM pg_class AS s
             WHERE s.relkind = 'S' AND s.relnamespace IS DISTINCT FROM to_regnamespace('stockfoil')
               AND (EXISTS (SELECT FROM pg_depend AS d
                            WHERE d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.refclassid = 'pg_class'::regclass
                              AND d.deptype IN ('a', 'i') AND d.refobjid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t))
                    OR EXISTS (SELECT FROM pg_depend AS d JOIN pg_attrdef AS f ON f.oid = d.objid
                               WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid
                                 AND f.adrelid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t)))) AS sequences
