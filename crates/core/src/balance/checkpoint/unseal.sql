-- Forgets the sums of marked keys and of the organizations whose turn it was: they are sealed again whole.
-- Locks: rows of stockfoil.checkpoint_key.
DELETE FROM stockfoil.checkpoint_key AS c
WHERE EXISTS (SELECT FROM pg_temp.stockfoil_turn AS t WHERE t.org = c.org)
   OR EXISTS (SELECT FROM pg_temp.stockfoil_dirty AS d
              WHERE d.org = c.org AND d.item = c.item AND d.location = c.location AND d.lot IS NOT DISTINCT FROM c.lot)
