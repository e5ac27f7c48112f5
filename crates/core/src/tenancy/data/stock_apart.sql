-- How many balances go from organization $1 to $2 without the row of {table} that they refer to, or stay without it.
-- Locks: ACCESS SHARE, which stops no writer.
SELECT count(*)
FROM {balances} AS b
JOIN {table} AS p ON {b.refers_p}
LEFT JOIN (
{going}
) AS d ON {b.is_d}
WHERE $2::text IS NOT NULL
  AND CASE WHEN d.item IS NULL THEN b.{org} = $1::text::{org.type} AND {p.moves}
           ELSE p.{org} = $1::text::{org.type} AND NOT {p.moves} END
