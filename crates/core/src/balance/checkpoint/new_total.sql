-- What the new entries add to the totals: those that are sealed, below {next}, and the others.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT org::text, coalesce(sum({key.weight} * quantity) FILTER (WHERE tx < {next}), 0)::text AS sealed,
       coalesce(sum({key.weight} * quantity) FILTER (WHERE tx >= {next}), 0)::text AS pending,
       count(*) FILTER (WHERE tx < {next}) AS rows
FROM (
{new}
) AS new
GROUP BY org
