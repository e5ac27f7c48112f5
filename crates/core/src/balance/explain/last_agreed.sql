-- The last comparison that looked at one key ($1: its organization; $2 to $4) and left nothing to say of it: it saw no
-- difference, or mended it. `is_here`: whether this cluster counts the transactions of its snapshot.
-- Locks: nothing.
SELECT r.id AS run_id, r.started_at, r.finished_at, r.summary #>> '{snapshot,transactions}' AS transactions,
       r.summary #>> '{snapshot,cluster}' IS NOT DISTINCT FROM (SELECT system_identifier::text FROM pg_control_system()) AS is_here,
       EXISTS (SELECT FROM stockfoil.finding AS f
               WHERE f.org_id = $1 AND f.item_id = $2 AND f.location_id = $3 AND coalesce(f.lot_id, '') = coalesce($4, '')
                 AND f.kind NOT IN ('changed_history', 'negative', 'backdated') AND f.last_run = r.id) AS has_mended
FROM stockfoil.run AS r
WHERE r.command = 'reconcile-balances' AND r.outcome IN ('clean', 'findings')
  AND (r.summary -> 'compared' = 'null' OR r.summary -> 'compared' ? $1)
  AND NOT EXISTS (SELECT FROM stockfoil.finding AS f
                  WHERE f.org_id = $1 AND f.item_id = $2 AND f.location_id = $3
                    AND coalesce(f.lot_id, '') = coalesce($4, '') AND f.kind NOT IN ('changed_history', 'negative', 'backdated')
                    AND r.id BETWEEN f.opened_run AND f.last_run AND NOT (f.repaired AND f.last_run = r.id))
ORDER BY r.id DESC
LIMIT 1
