-- How many rows of {table} that are of organization $1, and do not move themselves, refer to balances that go, or to rows of
-- nobody that do. Locks: ACCESS SHARE, which stops no writer.
SELECT count(*)
FROM {table} AS t
JOIN (
{reaching}
) AS p ON {t.refers_p}
WHERE t.{org} = $1::text::{org.type} AND $2::text IS NOT NULL AND NOT {t.moves}
