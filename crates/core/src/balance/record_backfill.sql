-- Counts the balances of the organizations $2, or of all (NULL), and if they are verified ($3) records that run $1
-- has backfilled them.
-- Locks: rows of stockfoil.backfill.
WITH counted AS MATERIALIZED (
    SELECT o.id::text AS id, count(b.org) AS keys
    FROM {organizations} AS o
    LEFT JOIN (
{balance_rows}
    ) AS b ON b.org = o.id
    WHERE $2::text[] IS NULL OR o.id = ANY ($2::text[]::{org.type}[])
    GROUP BY o.id
), recorded AS (
    INSERT INTO stockfoil.backfill AS f (org_id, run_id, keys)
    SELECT c.id, $1, c.keys
    FROM counted AS c
    WHERE $3
    ORDER BY c.id
    ON CONFLICT (org_id) DO UPDATE
    SET run_id = EXCLUDED.run_id, keys = EXCLUDED.keys, finished_at = EXCLUDED.finished_at
)
SELECT keys FROM counted
