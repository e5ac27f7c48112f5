-- Puts aside the weights of the keys whose balance is not the sum of their entries, all of which are read. Grouping by one
-- number costs less than by the key's columns. Unlike INSERT, CREATE TABLE AS can read in parallel.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
CREATE TEMPORARY TABLE stockfoil_weight ON COMMIT DROP AS
SELECT u.weight, count(u.balance_qty) AS balances
FROM (
    SELECT {key.weight} AS weight, coalesce(sum(k.quantity), 0) AS ledger_qty, NULL::numeric AS balance_qty
    FROM (
        SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, e.quantity
        FROM (
{entries}
        ) AS e
    ) AS k
    GROUP BY 1
    UNION ALL
    SELECT {key.weight}, NULL, b.quantity
    FROM (
{balance_rows}
    ) AS b
) AS u
GROUP BY u.weight
-- What is not a number is told even where the balance is the same.
HAVING sum(u.ledger_qty) IS DISTINCT FROM sum(u.balance_qty)
    OR sum(u.ledger_qty) IN ('NaN', 'Infinity', '-Infinity')
