-- The ids of the ledger's entries from before $1 of the organization $2 and the day $3, each with whether it is of a later
-- transaction than $4 and of no later time than $5.
-- Locks: ACCESS SHARE on the ledger; one scan of it.
SELECT id, coalesce(tx > $4 AND at <= $5, false)
FROM (
    SELECT coalesce({org}::text, '') AS org,
           to_char({created_at}::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
           concat_ws(',', {entry_id}) AS id,
           {entry_tx} AS tx,
           {created_at}::timestamptz AS at
    FROM {ledger}
) AS entry
WHERE at >= '0001-01-01Z' AND at < $1 AND org = $2 AND day = $3
