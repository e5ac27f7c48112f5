-- Of the keys numbered $1 to $2 that had no balance, those that have an entry, one of which is held: until the repair is over nobody takes
-- a key's last entry away, which leaves a row alone that is not there.
-- Locks: FOR SHARE one entry of each of these keys: who changes or deletes it waits until the repair's transaction ends.
SELECT d.n
FROM (
    SELECT n, org, item, location, lot
    FROM pg_temp.stockfoil_difference
    WHERE n BETWEEN $1 AND $2 AND repair AND balance_qty IS NULL
) AS d
CROSS JOIN LATERAL (
    SELECT FROM (
{held_entries}
    ) AS e
    WHERE e.org = d.org AND {e.item} = d.item AND {e.location} = d.location AND {e.lot} IS NOT DISTINCT FROM d.lot
    LIMIT 1
) AS e
