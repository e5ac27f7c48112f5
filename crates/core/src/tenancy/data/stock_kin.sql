-- How many balances of organization $1 that stay refer to balances that go to $2, and how many go that refer to one that stays.
-- Locks: ACCESS SHARE, which stops no writer.
SELECT count(*)
FROM (
    SELECT b.*, d.item IS NOT NULL AS goes
    FROM {balances} AS b
    LEFT JOIN (
{going}
    ) AS d ON {b.is_d}
    WHERE b.{org} = $1::text::{org.type} OR d.item IS NOT NULL
) AS t
JOIN (
    SELECT b.*, d.item IS NOT NULL AS goes
    FROM {balances} AS b
    LEFT JOIN (
{going}
    ) AS d ON {b.is_d}
    WHERE b.{org} = $1::text::{org.type} OR d.item IS NOT NULL
) AS p ON {kin}
WHERE t.goes <> p.goes AND $2::text IS NOT NULL
