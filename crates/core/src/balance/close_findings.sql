-- Closes the open findings of differences of the organizations $2, or of all (NULL), that run $1 no longer saw.
-- Locks: rows of stockfoil.finding.
UPDATE stockfoil.finding
SET closed_run = $1, closed_at = clock_timestamp()
WHERE closed_run IS NULL AND kind NOT IN ('changed_history', 'negative', 'backdated') AND last_run <> $1 AND ($2::text[] IS NULL OR org_id = ANY ($2))
