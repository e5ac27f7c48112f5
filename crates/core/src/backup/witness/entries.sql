-- The ledger's rows from before $1 by organization, and when the newest of them was made; infinite and far times say nothing.
-- Locks: ACCESS SHARE on the ledger; one scan of it.
SELECT org, count(*), max(at)
FROM (SELECT coalesce({org}::text, '') AS org, {created_at}::timestamptz AS at FROM {ledger}) AS entry
WHERE at >= '0001-01-01Z' AND at < $1
GROUP BY org
