-- How many transactions of others are open, prepared ones among them, that have read the table of organizations $1 and began before
-- organization $2 was last changed; one whose begin this role may not see counts. Locks: ACCESS SHARE on organizations.
SELECT count(DISTINCT l.virtualtransaction)
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN pg_prepared_xacts AS p ON l.pid IS NULL AND l.virtualtransaction = '-1/' || p.transaction::text
WHERE l.locktype = 'relation' AND l.relation = to_regclass($1)::oid AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND coalesce(coalesce(a.xact_start, p.prepared) < (SELECT o.updated_at FROM {organizations} AS o WHERE o.id = $2::text::{org.type}), true)
