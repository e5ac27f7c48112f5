-- How many rows run $1 has given to another organization, copied, and put back. Locks: ACCESS SHARE, which stops no writer.
SELECT coalesce(sum(cardinality(keys)) FILTER (WHERE run_id = $1 AND copies IS NULL AND undone_run IS NULL), 0)::bigint,
       coalesce(sum(cardinality(copies)) FILTER (WHERE run_id = $1 AND undone_run IS NULL), 0)::bigint,
       coalesce(sum(cardinality(keys)) FILTER (WHERE undone_run = $1 AND copies IS NULL), 0)::bigint
FROM stockfoil.move
WHERE (run_id = $1 OR undone_run = $1) AND schema_name <> 'stockfoil'
