-- The entries of the last $1 days by organization and day in UTC, and what they take. Locks: ACCESS SHARE on the ledger, which
-- stops no writer.
SELECT e.org, to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), count(*), coalesce(sum(e.bytes), 0)::bigint
FROM (SELECT {org}::text AS org, ({created_at})::timestamptz AS at, pg_column_size(t) AS bytes FROM {ledger} AS t) AS e
WHERE e.org IS NOT NULL AND isfinite(e.at) AND e.at > now() - make_interval(days => $1) AND e.at <= now() + interval '1 day'
GROUP BY 1, 2
ORDER BY 1, 2 DESC
