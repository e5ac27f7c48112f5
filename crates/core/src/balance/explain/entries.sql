-- The newest $7 entries of one key ($1 to $4), oldest first, each with the sum of the numbers before it and with it, and
-- whether it is new since the comparison of snapshot $5 at time $6.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT r.id, r.quantity::text, r.created_at, r.is_new,
       (r.counted - CASE WHEN r.is_number THEN r.quantity ELSE 0 END)::text AS before, r.counted::text
FROM (
    SELECT e.id, e.quantity, e.created_at, e.is_new, e.is_number,
           coalesce(sum(e.quantity) FILTER (WHERE e.is_number) OVER w, 0) AS counted,
           row_number() OVER w AS n, count(*) OVER () AS entries
    FROM (
{key_entries}
    ) AS e
    WINDOW w AS (ORDER BY e.created_at NULLS FIRST, e.place, e.quantity ROWS UNBOUNDED PRECEDING)
) AS r
WHERE r.n > r.entries - $7
ORDER BY r.n
