-- Closes the open findings of changed history that run $1 no longer saw, of the organizations whose history it read
-- again.
-- Locks: rows of stockfoil.finding.
UPDATE stockfoil.finding AS f
SET closed_run = $1, closed_at = clock_timestamp()
FROM pg_temp.stockfoil_turn AS t
WHERE f.closed_run IS NULL AND f.kind = 'changed_history' AND f.last_run <> $1 AND f.org_id = t.org::text
