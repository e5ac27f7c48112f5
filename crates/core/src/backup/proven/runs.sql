-- The newest $1 runs that proved something of backups: number, begin, and what they proved.
-- Locks: ACCESS SHARE on stockfoil.run.
SELECT id, started_at, summary -> 'proofs'
FROM stockfoil.run
WHERE command IN ('monitor-backups', 'verify-backup') AND jsonb_typeof(summary -> 'proofs') = 'array'
  AND summary -> 'proofs' <> '[]'
ORDER BY id DESC
LIMIT $1
