-- How many balances each organization has, and their hash total, negated.
-- Locks: ACCESS SHARE on balances, which stops no writer.
SELECT org::text, count(*) AS balances, coalesce(-sum({key.weight} * quantity), 0)::text AS total
FROM (
{balance_rows}
) AS b
GROUP BY org
