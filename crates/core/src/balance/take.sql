-- Takes entries from their balances.
-- Locks: the rows of the balances that change, in key order.
INSERT INTO {balances} AS b ({balances.columns})
SELECT {balances.values}
FROM (
    -- An entry that is not a number was never counted.
    SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, NULL::text AS ledger_id,
           -sum(e.quantity) FILTER (WHERE e.quantity > '-Infinity' AND e.quantity < 'Infinity') AS delta
    FROM (
{taken_entries}
    ) AS e
    GROUP BY 1, 2, 3, 4
) AS d
WHERE d.delta <> 0
ORDER BY {d.order}
{balances.add}
