-- Logins of the application: roles that can log in and are members of its role. None of them may become more than that, nor
-- own anything of Stockfoil's. Locks: none.
WITH g AS ({given}), reach AS MATERIALIZED ({reach}), owned AS (
    SELECT o.owner, (array_agg(o.kind || ' ' || o.object ORDER BY o.kind, o.object))[1:3] AS objects, count(*) - 3 AS further,
           string_agg(format('ALTER %s %s OWNER TO %I', upper(o.kind), o.object,
                             CASE WHEN o.kind = 'routine' AND g.ops IS NOT NULL THEN g.ops_name
                                  ELSE (SELECT r.rolname FROM pg_roles AS r WHERE r.oid = g.owners[1]) END), '; ' ORDER BY o.kind, o.object) AS remedy
    FROM g, ({own}) AS o
    -- A column's sequence is its table's owner's.
    WHERE NOT (o.kind = 'sequence' AND EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND 'r' || d.objid::text = o.address AND d.deptype IN ('a', 'i')))
    GROUP BY o.owner
)
SELECT 'role ' || r.rolname, more IS NULL AND own IS NULL,
       format('is a login of the application%s', CASE WHEN own IS NOT NULL THEN format(' that %s', own)
                                                      WHEN more IS NOT NULL THEN format(' that is or can become %s', more) ELSE '' END),
       -- Before 16 it is CREATEROLE itself that reaches other roles.
       concat_ws('; ', own_remedy, CASE WHEN more IS NOT NULL AND NOT (r.rolcreaterole AND current_setting('server_version_num')::int < 160000)
                                        THEN more_remedy END), NULL::text
FROM g, pg_roles AS r
CROSS JOIN LATERAL (
    SELECT string_agg(what, ', and ') AS own, string_agg(remedy, '; ') AS own_remedy
    FROM (VALUES (r.rolbypassrls, 'bypasses row-level security', format('ALTER ROLE %I NOBYPASSRLS', r.rolname)),
                 (r.rolcreaterole, 'may create roles, and make itself a member of others', format('ALTER ROLE %I NOCREATEROLE', r.rolname)),
                 (r.rolreplication, 'may read the server''s whole log of changes', format('ALTER ROLE %I NOREPLICATION', r.rolname)))
         AS a (is_so, what, remedy)
    WHERE a.is_so
) AS attributes
CROSS JOIN LATERAL (
    SELECT string_agg(DISTINCT m.rolname || what, ', ') AS more,
           coalesce(string_agg(DISTINCT 'REVOKE ' || quote_ident(m.rolname) || ' FROM ' || quote_ident(e.rolname)
               || CASE WHEN current_setting('server_version_num')::int < 160000 THEN '' ELSE ' GRANTED BY ' || b.grantor::regrole END, '; ')
                        FILTER (WHERE b.roleid IS NOT NULL),
                    string_agg(DISTINCT owned.remedy, '; ') FILTER (WHERE m.oid = r.oid),
                    -- The database's owner, unless the login can become that.
                    (SELECT string_agg(format('ALTER TABLE %s OWNER TO %s', c.oid::regclass, coalesce((
                                SELECT quote_ident(pg_get_userbyid(d.datdba)) FROM pg_database AS d
                                WHERE d.datname = current_database() AND NOT pg_has_role(r.oid, d.datdba, 'MEMBER')), 'another role')), '; ' ORDER BY c.oid::regclass::text)
                     FROM pg_class AS c WHERE c.oid = ANY (g.tables) AND c.relowner = r.oid),
                    'take it out of that role, or give its tables another owner') AS more_remedy
    FROM reach
    JOIN pg_roles AS m ON m.oid = reach.role
    LEFT JOIN owned ON owned.owner = m.oid
    CROSS JOIN LATERAL (SELECT CASE
        WHEN reach.becomes AND m.oid <> r.oid AND m.rolsuper THEN ' (a superuser)'
        WHEN m.oid = ANY (g.owners) THEN ' (which owns tables)'
        WHEN EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = ANY (g.tables) AND n.nspowner = m.oid)
            THEN ' (which owns their schema, and may drop them)'
        WHEN reach.becomes AND m.oid <> r.oid AND m.rolbypassrls THEN ' (which bypasses row-level security)'
        WHEN owned.owner IS NOT NULL
            THEN format(' (which owns %s%s)', array_to_string(owned.objects, ', '), CASE WHEN further > 0 THEN format(' and %s more', further) ELSE '' END)
        WHEN reach.becomes AND m.oid <> r.oid AND m.rolcreaterole THEN ' (which may create roles)'
        WHEN reach.becomes AND m.oid <> r.oid AND m.rolreplication THEN ' (which may read the server''s whole log of changes)'
        WHEN m.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files') THEN ' (which works as the server itself)'
        WHEN m.rolname IN ('pg_monitor', 'pg_read_all_stats') THEN ' (which reads the statements of others)'
        WHEN m.rolname = 'pg_signal_backend' THEN ' (which ends the sessions of others)'
        WHEN m.rolname = 'pg_create_subscription' THEN ' (which writes what another server sends)'
        END AS what) AS how
    LEFT JOIN pg_auth_members AS b ON b.roleid = m.oid AND EXISTS (SELECT FROM reach AS p WHERE p.login = r.oid AND p.role = b.member)
    LEFT JOIN pg_roles AS e ON e.oid = b.member
    WHERE reach.login = r.oid AND what IS NOT NULL
) AS through
WHERE r.rolcanlogin AND NOT r.rolsuper AND EXISTS (SELECT FROM reach WHERE reach.login = r.oid AND reach.role = g.app AND reach.is_member)
ORDER BY 1
