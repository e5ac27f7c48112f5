-- What each login can do with the tables, the sequences of their numbers and Stockfoil's own beyond what the application may, by whatever way it comes
-- to it, and what takes just that. Logins that administer the database (its owner, who bypasses row-level security) are left
-- out, as are rights that everybody or the application's role was granted: other looks are about those. A role that no login
-- reaches, and that was granted something, is looked at too. Locks: none.
WITH g AS ({given}), reach AS MATERIALIZED ({reach}),
objects AS (
    SELECT t.oid, string_to_array(t.allowed, ',') AS allowed FROM g, unnest(g.tables, g.rights) AS t (oid, allowed)
    UNION ALL
    SELECT s.oid, '{USAGE,SELECT}' FROM g, unnest(g.sequences) AS s (oid)
    UNION ALL
    SELECT c.oid, '{}' FROM pg_class AS c WHERE c.relnamespace = to_regnamespace('stockfoil') AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
), schemas AS (
    SELECT n.* FROM g, pg_namespace AS n
    WHERE n.nspname = 'stockfoil' OR n.oid IN (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid = ANY (g.tables))
), administers AS (
    SELECT DISTINCT reach.login
    FROM g, reach JOIN pg_roles AS m ON m.oid = reach.role
    WHERE (reach.becomes AND (m.rolsuper OR m.rolbypassrls)) OR m.oid = ANY (g.owners) OR m.oid = g.ops
       OR m.oid IN (SELECT nspowner FROM schemas)
       OR m.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
), held AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END AS kind, c.oid::regclass::text AS object, c.relowner AS owner,
           a.grantee, a.grantor, a.privilege_type || coalesce(' (' || quote_ident(a.attname) || ')', '') AS privilege,
           a.privilege_type = 'SELECT' AND c.relnamespace = to_regnamespace('stockfoil') AS is_record
    FROM objects AS o
    JOIN pg_class AS c ON c.oid = o.oid
    CROSS JOIN LATERAL (
        SELECT r.grantee, r.grantor, r.privilege_type, NULL::name AS attname FROM aclexplode(c.relacl) AS r
        UNION ALL
        SELECT r.grantee, r.grantor, r.privilege_type, k.attname FROM pg_attribute AS k, aclexplode(k.attacl) AS r
        WHERE k.attrelid = c.oid AND k.attacl IS NOT NULL AND NOT k.attisdropped
    ) AS a
    WHERE a.privilege_type <> ALL (o.allowed)
    UNION ALL
    -- What is made in any schema, or as one of the login's own name, may be what other sessions of that login find first.
    SELECT 'SCHEMA ', quote_ident(n.nspname), n.nspowner, a.grantee, a.grantor, a.privilege_type, false
    FROM pg_namespace AS n CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
    WHERE a.privilege_type = 'CREATE' AND n.nspname !~ '^pg_(toast|temp)'
    UNION ALL
    SELECT 'DATABASE ', quote_ident(d.datname), d.datdba, a.grantee, a.grantor, a.privilege_type, false
    FROM pg_database AS d CROSS JOIN LATERAL aclexplode(d.datacl) AS a
    WHERE a.privilege_type = 'CREATE' AND d.datname = current_database()
), granted AS (
    -- All that is alike in one statement.
    SELECT h.grantee, is_record, format('%s on %s', privileges, string_agg(object, ', ' ORDER BY object)) AS what,
           format(CASE WHEN h.grantor = h.owner THEN '%s' ELSE format('SET ROLE %I; %%s; RESET ROLE', by.rolname) END,
                  format('REVOKE %s ON %s%s FROM %I CASCADE', privileges, kind, string_agg(object, ', ' ORDER BY object), of.rolname)) AS remedy
    FROM (SELECT kind, object, owner, grantee, grantor, is_record, string_agg(privilege, ', ' ORDER BY privilege) AS privileges
          FROM held WHERE grantee <> 0 AND grantee <> owner GROUP BY 1, 2, 3, 4, 5, 6) AS h
    JOIN pg_roles AS of ON of.oid = h.grantee
    LEFT JOIN pg_roles AS by ON by.oid = h.grantor
    GROUP BY h.grantee, h.grantor, h.owner, is_record, kind, privileges, of.rolname, by.rolname
    UNION ALL
    SELECT p.oid, d.is_record, format('%s, which %s', p.rolname, d.does), NULL
    FROM (VALUES ('pg_write_all_data', 'writes balances, API keys and Stockfoil''s records', false),
                 ('pg_maintain', 'locks, clusters and rebuilds every table', false),
                 ('pg_read_all_data', 'reads Stockfoil''s records of every organization, and API keys', true)) AS d (name, does, is_record)
    JOIN pg_roles AS p ON p.rolname = d.name
), logins AS (
    SELECT r.oid, r.rolname, r.rolcanlogin, EXISTS (SELECT FROM reach WHERE reach.login = r.oid AND reach.role = g.app AND reach.is_member) AS is_application
    FROM g, pg_roles AS r
    WHERE NOT r.rolsuper AND r.rolname !~ '^pg_' AND r.oid NOT IN (SELECT login FROM administers)
      AND (r.rolcanlogin OR NOT EXISTS (SELECT FROM reach JOIN pg_roles AS l ON l.oid = reach.login WHERE reach.role = r.oid AND l.rolcanlogin)
           OR r.oid = g.app)
)
SELECT 'role ' || l.rolname, what IS NULL,
       CASE WHEN what IS NULL THEN 'reaches no more than the application may'
            WHEN l.rolcanlogin THEN format('reaches %s', what)
            ELSE format('would reach %s, if somebody logged in as it', what) END, coalesce(remedy, ''), NULL::text
FROM g, logins AS l
CROSS JOIN LATERAL (
    SELECT string_agg(t.what || CASE WHEN t.grantee <> l.oid THEN format(' (as %s)', t.grantee::regrole) ELSE '' END, '; ' ORDER BY t.what) AS what,
           -- What a grantee passed on first, while that one can still take it.
           string_agg(DISTINCT takes.remedy COLLATE "C", '; ' ORDER BY takes.remedy COLLATE "C" DESC) AS remedy
    FROM reach JOIN granted AS t ON t.grantee = reach.role
    -- Of PostgreSQL's own roles the memberships that are on this login's way go, and nobody else's.
    CROSS JOIN LATERAL (SELECT coalesce(t.remedy, (
        SELECT string_agg(format(CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'REVOKE %s FROM %s' ELSE 'REVOKE %s FROM %s GRANTED BY %s' END,
                                 m.roleid::regrole, m.member::regrole, m.grantor::regrole), '; ')
        FROM pg_auth_members AS m
        WHERE m.roleid = t.grantee AND EXISTS (SELECT FROM reach AS p WHERE p.login = l.oid AND p.role = m.member))) AS remedy) AS takes
    -- A dashboard and a backup read the records; an application does not.
    WHERE reach.login = l.oid AND t.grantee IS DISTINCT FROM g.app AND (l.is_application OR NOT t.is_record)
) AS beyond
WHERE what IS NOT NULL OR (l.is_application AND l.rolcanlogin)
ORDER BY 1
