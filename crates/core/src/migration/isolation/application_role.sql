-- What makes the application's role $1 more than an application's: $2 are the tables, $3 is the operations role. What is the
-- matter, and what to do. Locks: none.
WITH own AS ({own}), app AS (SELECT r.* FROM pg_roles AS r WHERE r.rolname = $1),
owners AS (SELECT DISTINCT c.relowner AS oid FROM pg_class AS c WHERE c.oid IN (SELECT to_regclass(t)::oid FROM unnest($2::text[]) AS t)
           UNION SELECT o.owner FROM own AS o),
-- Who should own it instead: the database's owner, unless the application can become that.
heir AS (SELECT coalesce((SELECT quote_ident(pg_get_userbyid(d.datdba)) FROM pg_database AS d WHERE d.datname = current_database() AND NOT pg_has_role(app.oid, d.datdba, 'MEMBER')), 'another role') AS name FROM app)
SELECT 'is a superuser, whom nothing binds', format('ALTER ROLE %I NOSUPERUSER', rolname) FROM app WHERE rolsuper
UNION ALL
SELECT 'bypasses row-level security', format('ALTER ROLE %I NOBYPASSRLS', rolname) FROM app WHERE rolbypassrls
UNION ALL
SELECT 'may create roles, and make itself a member of others', format('ALTER ROLE %I NOCREATEROLE', rolname) FROM app WHERE rolcreaterole AND NOT rolsuper
UNION ALL
SELECT 'may read the server''s whole log of changes', format('ALTER ROLE %I NOREPLICATION', rolname) FROM app WHERE rolreplication AND NOT rolsuper
UNION ALL
SELECT format('owns %s, and can take its row-level security away', string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text)),
       string_agg(format('ALTER TABLE %s OWNER TO %s', c.oid::regclass, heir.name), '; ' ORDER BY c.oid::regclass::text)
FROM app CROSS JOIN heir JOIN pg_class AS c ON c.relowner = app.oid
WHERE c.oid IN (SELECT to_regclass(t)::oid FROM unnest($2::text[]) AS t) AND NOT app.rolsuper
HAVING count(*) > 0
UNION ALL
SELECT format('owns %s, by which Stockfoil keeps the organizations apart', string_agg(o.kind || ' ' || o.object, ', ' ORDER BY o.kind, o.object)),
       string_agg(format('ALTER %s %s OWNER TO %s', upper(o.kind), o.object, heir.name), '; ' ORDER BY o.kind, o.object)
FROM app CROSS JOIN heir JOIN own AS o ON o.owner = app.oid
WHERE NOT app.rolsuper
HAVING count(*) > 0
UNION ALL
SELECT format('is a member of %s, %s', r.rolname,
              CASE WHEN r.rolsuper THEN 'a superuser' WHEN r.rolbypassrls THEN 'which bypasses row-level security'
                   WHEN r.oid IN (SELECT oid FROM owners) THEN 'which owns tables or what is Stockfoil''s' WHEN r.rolcreaterole THEN 'which may create roles'
                   ELSE 'which reaches past the tables' END),
       format('REVOKE %I FROM %I; or from the role between them', r.rolname, app.rolname)
FROM app JOIN pg_roles AS r ON r.oid <> app.oid AND pg_has_role(app.oid, r.oid, 'MEMBER')
WHERE NOT app.rolsuper
  AND (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.oid IN (SELECT oid FROM owners) OR r.rolname = $3
       OR r.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_read_all_data', 'pg_write_all_data',
                       'pg_maintain', 'pg_read_all_stats', 'pg_monitor', 'pg_signal_backend', 'pg_create_subscription'))
  -- What it has by the operations role alone goes with that.
  AND NOT EXISTS (SELECT FROM pg_roles AS o WHERE o.rolname = $3 AND o.oid <> r.oid AND pg_has_role(app.oid, o.oid, 'MEMBER')
                                            AND r.rolname ~ '^pg_' AND pg_has_role(o.oid, r.oid, 'MEMBER'))
