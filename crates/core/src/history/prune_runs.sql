-- Removes at most $2 runs that began before $1, but for the last clean run of each command, and for those that a finding,
-- a backfill or the record of moved rows speaks of.
-- Locks: the rows that go.
DELETE FROM stockfoil.run
WHERE id IN (
    SELECT r.id
    FROM stockfoil.run AS r
    WHERE r.started_at < $1
        AND r.id NOT IN (SELECT DISTINCT ON (command) id FROM stockfoil.run
                         WHERE outcome = 'clean' ORDER BY command, finished_at DESC NULLS LAST, id DESC)
        AND NOT EXISTS (SELECT FROM stockfoil.finding AS f WHERE f.opened_run = r.id)
        AND NOT EXISTS (SELECT FROM stockfoil.finding AS f WHERE f.last_run = r.id)
        AND NOT EXISTS (SELECT FROM stockfoil.finding AS f WHERE f.closed_run = r.id)
        AND NOT EXISTS (SELECT FROM stockfoil.backfill AS b WHERE b.run_id = r.id)
        AND NOT EXISTS (SELECT FROM stockfoil.move AS m WHERE m.run_id = r.id)
    ORDER BY r.id
    LIMIT $2
)
