-- How many rows of {table} that are of organization $1, and are not put aside, refer to rows of nobody that lead to rows that
-- are put aside. Locks: ACCESS SHARE, which stops no writer.
SELECT count(*)
FROM {table} AS t
JOIN (
{reaching}
) AS p ON {t.refers_p}
WHERE t.{org} = $1::text::{org.type} AND NOT {t.moves}
