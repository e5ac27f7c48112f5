-- The ledger's entries from before $1 by organization and day: how many, and a digest of their ids.
-- Locks: ACCESS SHARE on the ledger; one scan of it.
SELECT org, day, count(*), sum(('x' || left(md5(id), 16))::bit(64)::bigint::numeric)::text
FROM (
    SELECT coalesce({org}::text, '') AS org,
           to_char({created_at}::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
           concat_ws(',', {entry_id}) AS id,
           {created_at}::timestamptz AS at
    FROM {ledger}
) AS entry
WHERE at >= '0001-01-01Z' AND at < $1
GROUP BY org, day
