-- Adds the entries that were put aside, {sign} times, to the balances, as the application does when it makes them.
-- Locks: the rows of those balances, in key order.
{balances.add_drift} (
    SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, {sign}sum(e.quantity) AS delta
    FROM (
{batch_entries}
    ) AS e
    WHERE e.quantity > '-Infinity' AND e.quantity < 'Infinity'
    GROUP BY 1, 2, 3, 4
    HAVING sum(e.quantity) <> 0
) AS d{balances.added_drift}
