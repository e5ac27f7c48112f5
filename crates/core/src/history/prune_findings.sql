-- Removes at most $2 findings that were closed before $1.
-- Locks: the rows that go.
DELETE FROM stockfoil.finding
WHERE id IN (SELECT id FROM stockfoil.finding WHERE closed_at < $1 ORDER BY closed_at LIMIT $2)
