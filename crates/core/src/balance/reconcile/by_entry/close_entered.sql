-- Closes the open finding of the key put aside: run $1 made entry $2 for it, for reason $3, and read that both sides agree.
-- Locks: rows of stockfoil.finding.
UPDATE stockfoil.finding AS f
SET closed_run = $1, closed_at = clock_timestamp(), entry_id = $2, reason = $3
FROM pg_temp.stockfoil_suspect AS s
WHERE f.closed_run IS NULL AND f.kind NOT IN ('changed_history', 'negative', 'backdated')
  AND (f.org_id, f.item_id, f.location_id, coalesce(f.lot_id, ''))
      = (s.org::text, s.item::text, s.location::text, coalesce(s.lot::text, ''))
