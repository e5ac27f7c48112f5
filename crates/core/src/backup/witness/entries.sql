-- The ledger's rows from before $1, and when the newest of them was made; infinite and far times say nothing.
-- Locks: ACCESS SHARE on the ledger; one scan of it.
SELECT count(*), max(at)
FROM (SELECT {created_at}::timestamptz AS at FROM {ledger}) AS entry
WHERE at >= '0001-01-01Z' AND at < $1
