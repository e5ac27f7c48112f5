-- How many findings run $1 opened, saw again, and closed.
-- Locks: nothing.
SELECT count(*) FILTER (WHERE opened_run = $1) AS opened,
       count(*) FILTER (WHERE last_run = $1 AND opened_run <> $1) AS seen_again,
       count(*) FILTER (WHERE closed_run = $1) AS closed
FROM stockfoil.finding
WHERE opened_run = $1 OR last_run = $1 OR closed_run = $1
