-- What is in this database that a new one has not, in the order in which it can go: what it is, and the statement that takes
-- it away (none: only its owner may). The schema $1 is left out. Locks: none beyond the catalog's own.
WITH own AS (
    SELECT n.oid, n.nspname FROM pg_namespace AS n
    WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND n.nspname IS DISTINCT FROM $1::text
), found (place, class, object) AS (
    -- They would speak up when others go.
    SELECT 1, 'pg_event_trigger'::regclass, t.oid FROM pg_event_trigger AS t
    UNION ALL
    SELECT 2, 'pg_publication'::regclass, p.oid FROM pg_publication AS p
    UNION ALL
    SELECT 4, d.classid::regclass, d.objid
    FROM pg_depend AS d
    JOIN own AS n ON n.oid = d.refobjid
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype <> 'e'
      AND d.classid NOT IN ('pg_default_acl'::regclass, 'pg_extension'::regclass)
    UNION ALL
    SELECT 5, 'pg_namespace'::regclass, n.oid FROM own AS n WHERE n.nspname <> 'public'
    UNION ALL
    SELECT 6, 'pg_extension'::regclass, e.oid FROM pg_extension AS e WHERE e.oid >= 16384 AND e.extname <> 'plpgsql'
    UNION ALL
    -- What the server came with has a number below this.
    SELECT 7, o.class, o.oid
    FROM (SELECT 'pg_foreign_data_wrapper'::regclass AS class, w.oid FROM pg_foreign_data_wrapper AS w
          UNION ALL SELECT 'pg_foreign_server'::regclass, s.oid FROM pg_foreign_server AS s
          UNION ALL SELECT 'pg_cast'::regclass, c.oid FROM pg_cast AS c
          UNION ALL SELECT 'pg_transform'::regclass, t.oid FROM pg_transform AS t
          UNION ALL SELECT 'pg_language'::regclass, l.oid FROM pg_language AS l
          UNION ALL SELECT 'pg_am'::regclass, a.oid FROM pg_am AS a) AS o
    WHERE o.oid >= 16384
), left_over (place, object, what, statement) AS (
    SELECT f.place, f.object, format('%s %s', i.type, i.identity),
           format('DROP %s IF EXISTS %s CASCADE',
                  CASE i.type WHEN 'statistics object' THEN 'STATISTICS' ELSE upper(replace(i.type, '-', ' ')) END, i.identity)
    FROM found AS f, pg_identify_object(f.class, f.object, 0) AS i
    -- An extension's goes with it.
    WHERE NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = f.class AND e.objid = f.object AND e.deptype = 'e')
    UNION ALL
    SELECT 0, s.oid, format('subscription %I', s.subname), NULL
    FROM pg_subscription AS s
    WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL
    -- Those of the whole database are gone when they are what they are without.
    SELECT 3, a.oid, format('default privileges of role %I', pg_get_userbyid(a.defaclrole)),
           concat_ws('; ',
               (SELECT string_agg(DISTINCT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON %s FROM %s',
                                                  pg_get_userbyid(a.defaclrole), ' IN SCHEMA ' || quote_ident(n.nspname), k.kind,
                                                  CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END), '; ')
                FROM aclexplode(a.defaclacl) AS g),
               (SELECT string_agg(format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT %s ON %s TO %s',
                                         pg_get_userbyid(a.defaclrole), g.privilege_type, k.kind,
                                         CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END), '; ')
                FROM aclexplode(acldefault(CASE a.defaclobjtype WHEN 'S' THEN 's' ELSE a.defaclobjtype END, a.defaclrole)) AS g
                WHERE a.defaclnamespace = 0))
    FROM pg_default_acl AS a
    LEFT JOIN pg_namespace AS n ON n.oid = a.defaclnamespace,
         LATERAL (SELECT CASE a.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                              WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END AS kind) AS k
    UNION ALL
    SELECT 8, o.oid, format('large object %s', o.oid), format('SELECT pg_catalog.lo_unlink(%s)', o.oid)
    FROM pg_largeobject_metadata AS o
)
SELECT what, statement FROM left_over ORDER BY place, object
