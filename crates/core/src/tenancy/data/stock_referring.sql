-- How many rows of {table} that are of organization $1, and do not move themselves, refer to balances that go.
-- Locks: ACCESS SHARE, which stops no writer.
SELECT count(*)
FROM {table} AS t
JOIN (
    SELECT b.*
    FROM {balances} AS b
    JOIN (
{going}
    ) AS d ON {b.is_d}
) AS p ON {t.refers_p}
WHERE t.{org} = $1::text::{org.type} AND $2::text IS NOT NULL AND NOT {t.moves}
