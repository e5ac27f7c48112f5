-- Closes the open findings of differences of the organizations $2, or of all (NULL), that run $1 no longer saw, and those of
-- changed history whose organization is no more.
-- Locks: rows of stockfoil.finding.
UPDATE stockfoil.finding AS f
SET closed_run = $1, closed_at = clock_timestamp()
WHERE f.closed_run IS NULL AND f.last_run <> $1 AND ($2::text[] IS NULL OR f.org_id = ANY ($2))
  AND (f.kind NOT IN ('changed_history', 'negative', 'backdated')
       OR f.kind = 'changed_history' AND NOT EXISTS (SELECT FROM {organizations} AS o WHERE o.id::text = f.org_id))
