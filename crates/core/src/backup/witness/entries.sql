-- The ledger's rows from before $1 by organization and day, and when the newest of them was made; infinite and far times say nothing.
-- One of a later transaction than $2 with a time up to $3 came since, and is not counted.
-- Locks: ACCESS SHARE on the ledger; one scan of it.
SELECT org, (at AT TIME ZONE 'UTC')::date AS day, count(*), max(at)
FROM (
    SELECT coalesce({org}::text, '') AS org, {created_at}::timestamptz AS at, {entry_tx} AS tx FROM {ledger}
) AS entry
WHERE at >= '0001-01-01Z' AND at < $1 AND NOT coalesce(tx > $2::bigint AND at <= $3::timestamptz, false)
GROUP BY org, day
