-- Whether sessions of the application may make temporary tables. They stay with the server's session, as cursors WITH HOLD do,
-- which a pooler gives to another client. Locks: none.
WITH g AS ({given}), ours AS ({ours})
SELECT 'database ' || d.datname, NULL::boolean,
       format('%s may make temporary tables; they stay in a session that a pooler gives to the next client, who finds them before the tables of that name',
              string_agg(DISTINCT ours.name, ', ')),
       format('let the pooler end what a session holds between clients (DISCARD ALL; pgbouncer: server_reset_query_always = 1), and REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC, %s where nobody makes any',
              d.datname, string_agg(DISTINCT quote_ident(r.rolname), ', ')), NULL::text
FROM g, pg_database AS d, ours JOIN pg_roles AS r ON r.oid = ours.role
WHERE d.datname = current_database() AND r.rolname !~ '^pg_' AND has_database_privilege(ours.role, d.oid, 'TEMPORARY')
GROUP BY d.datname
