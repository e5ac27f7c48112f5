-- Says of the findings of run $1 which were repaired.
-- Locks: rows of stockfoil.finding.
UPDATE stockfoil.finding AS f
SET repaired = true
FROM pg_temp.stockfoil_difference AS d
WHERE f.last_run = $1 AND f.closed_run IS NULL AND f.kind NOT IN ('changed_history', 'negative', 'backdated') AND d.repair
  AND (f.org_id, f.item_id, f.location_id, coalesce(f.lot_id, ''))
      = (d.org::text, coalesce(d.item::text, ''), coalesce(d.location::text, ''), coalesce(d.lot::text, ''))
