-- The time of the newest entry by organization, of those whose time is one. Locks: ACCESS SHARE on the ledger, which stops no writer.
SELECT e.org, max(e.at) FILTER (WHERE isfinite(e.at))
FROM (SELECT {org}::text AS org, ({created_at})::timestamptz AS at FROM {ledger}) AS e
WHERE e.org IS NOT NULL
GROUP BY 1
