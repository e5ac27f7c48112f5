-- How many rows of the pages from $1 to before $2 are of transactions from before $3 (all, where that is 0), and how many of those
-- tell that they were made before $4.
-- Locks: ACCESS SHARE on the table.
SELECT count(*), count(*) FILTER (
           -- An application's own column of that name may be of any type.
           WHERE CASE WHEN to_jsonb(r) ->> 'created_at' ~ '^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T\d\d:\d\d'
                      THEN (to_jsonb(r) ->> 'created_at')::timestamptz < $4 END)
FROM {table} AS r
WHERE r.ctid >= $1::text::tid AND r.ctid < $2::text::tid
  -- Numbers of transactions begin anew: one is before another where it is less than half of them behind.
  AND ($3::bigint = 0 OR (r.xmin::text::bigint - $3::bigint + 4294967296) % 4294967296 >= 2147483648)
