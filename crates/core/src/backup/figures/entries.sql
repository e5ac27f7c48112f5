-- Count and digest of the ledger's rows from before $1. The digest is the same in whatever order they lie.
-- Locks: ACCESS SHARE on the ledger; one scan of it.
SELECT
    count(*),
    coalesce(sum(('x' || left(md5(entry::text), 16))::bit(64)::bigint::numeric), 0)::text
FROM {ledger} AS entry
WHERE {created_at} < $1
