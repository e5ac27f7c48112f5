-- Forgets the sums of marked keys and of the organizations whose turn it was: they are sealed again whole. What that takes
-- from the totals.
-- Locks: rows of stockfoil.checkpoint_sum.
WITH gone AS (
    DELETE FROM stockfoil.checkpoint_sum AS c
    WHERE c.org IN (SELECT org FROM pg_temp.stockfoil_turn)
       OR EXISTS (SELECT FROM pg_temp.stockfoil_dirty AS d
                  WHERE d.org = c.org AND d.item = c.item AND d.location = c.location AND d.lot IS NOT DISTINCT FROM c.lot)
    RETURNING c.org, c.item, c.location, c.lot, c.quantity
)
SELECT org::text, (-sum({key.weight} * quantity))::text AS sealed, '0' AS pending, -count(*) AS rows
FROM gone
GROUP BY org
