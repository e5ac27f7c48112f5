-- When the newest row of the ledger was made, of those whose time is of this age: infinite and far times say nothing.
-- Locks: ACCESS SHARE on the ledger; one scan of it.
SELECT max(at)
FROM (SELECT {created_at}::timestamptz AS at FROM {ledger}) AS entry
WHERE at >= '0001-01-01Z' AND at < '9999-12-31Z'
