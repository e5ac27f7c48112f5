-- Statements that give a copy of this database its owner, its rights and its settings, those of roles in it included.
-- Locks: none beyond the catalog's own.
SELECT format('ALTER DATABASE %I OWNER TO %I', d.datname, pg_get_userbyid(d.datdba))
FROM pg_database AS d
WHERE d.datname = current_database()
UNION ALL
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', d.datname)
FROM pg_database AS d
WHERE d.datname = current_database() AND d.datacl IS NOT NULL
UNION ALL
SELECT format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, d.datname,
              CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
              CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_database AS d, aclexplode(d.datacl) AS a
WHERE d.datname = current_database()
UNION ALL
SELECT format('ALTER %s SET %I TO %s',
              CASE WHEN s.setrole = 0 THEN format('DATABASE %I', d.datname)
                   ELSE format('ROLE %I IN DATABASE %I', pg_get_userbyid(s.setrole), d.datname) END,
              split_part(c, '=', 1),
              -- A list is printed as it is written, name by name.
              CASE WHEN split_part(c, '=', 1) IN ('search_path', 'temp_tablespaces') THEN substr(c, strpos(c, '=') + 1)
                   ELSE quote_literal(substr(c, strpos(c, '=') + 1)) END)
FROM pg_database AS d
JOIN pg_db_role_setting AS s ON s.setdatabase = d.oid, unnest(s.setconfig) AS c
WHERE d.datname = current_database() AND split_part(c, '=', 1) NOT LIKE '%preload\_libraries'
