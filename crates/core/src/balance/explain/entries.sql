-- The newest $7 entries of one key ($1 to $4), oldest first, each with the sum of the numbers before it and with it, and
-- whether it is new since the comparison of snapshot $5 at time $6.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT r.id, r.quantity::text, r.created_at, r.is_new, (r.counted - r.delta)::text AS before, r.counted::text
FROM (
    SELECT e.id, e.quantity, e.created_at, e.is_new, e.delta,
           sum(e.delta) OVER w AS counted, row_number() OVER w AS n, count(*) OVER () AS entries
    FROM (
        SELECT {e.id} AS id, e.id AS place, e.quantity, e.created_at::timestamptz AS created_at, {is_new} AS is_new,
               CASE WHEN e.quantity > '-Infinity' AND e.quantity < 'Infinity' THEN e.quantity ELSE 0 END AS delta
        FROM (
{postings}
        ) AS e
        WHERE e.org = $1::text::{org.type} AND {e.item} = $2::text::{item.type}
          AND {e.location} = $3::text::{location.type} AND {e.lot} IS NOT DISTINCT FROM $4::text::{lot.type}
    ) AS e
    WINDOW w AS (ORDER BY e.created_at NULLS FIRST, e.place, e.quantity ROWS UNBOUNDED PRECEDING)
) AS r
WHERE r.n > r.entries - $7
ORDER BY r.n
