-- Partitions of the tables $1 whose DETACH CONCURRENTLY did not end: they are neither partitions nor tables of their own. $2
-- is not looked at. Locks: none.
SELECT regexp_replace(h.inhrelid::regclass::text, '^public\.', ''),
       format('is half detached from %s, since a DETACH PARTITION ... CONCURRENTLY did not end', regexp_replace(h.inhparent::regclass::text, '^public\.', ''))
FROM pg_inherits AS h
WHERE h.inhdetachpending AND h.inhparent IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND $2::text IS NOT NULL
ORDER BY 1
