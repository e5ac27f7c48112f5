-- The run of command $1 with the identity $2 that was killed or failed, and of which nothing was put back.
-- Locks: ACCESS SHARE, which stops no writer.
SELECT r.id
FROM stockfoil.run AS r
WHERE r.command = $1 AND r.finished_at IS NULL AND r.summary -> 'merge' = $2 AND NOT r.summary ? 'restored_by'
  AND NOT EXISTS (SELECT FROM stockfoil.move AS m WHERE m.run_id = r.id AND m.undone_run IS NOT NULL)
ORDER BY r.id DESC
LIMIT 1
