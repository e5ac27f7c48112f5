-- How many rows of {table} there are but for those with the keys $1, and a sum over whose each of them is.
-- Locks: ACCESS SHARE, which stops no writer.
SELECT count(*)::text || ' ' || coalesce(sum(hashtextextended(concat_ws(' ', {identity}, t.{org}::text), 0)::numeric), 0)::text
FROM {table} AS t
WHERE ({identity} = ANY ($1::text[])) IS NOT TRUE
