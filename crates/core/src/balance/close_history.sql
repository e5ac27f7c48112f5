-- Closes the open findings of changed history that run $1 no longer saw, of the organizations whose history it read
-- again. Of a key that a trigger marked it could not see whether its history changed otherwise too.
-- Locks: rows of stockfoil.finding.
UPDATE stockfoil.finding AS f
SET closed_run = $1, closed_at = clock_timestamp()
FROM pg_temp.stockfoil_turn AS t
WHERE f.closed_run IS NULL AND f.kind = 'changed_history' AND f.last_run <> $1 AND f.org_id = t.org::text
  AND NOT EXISTS (SELECT FROM pg_temp.stockfoil_dirty AS d
                  WHERE d.is_changed AND (d.org::text, d.item::text, d.location::text, coalesce(d.lot::text, ''))
                                         = (f.org_id, f.item_id, f.location_id, coalesce(f.lot_id, '')))
