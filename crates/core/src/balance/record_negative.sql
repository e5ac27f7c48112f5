-- Records all balances below zero of the organizations $2, or of all (NULL), but for the locations $3, as run $1 sees them;
-- an open finding of the same key is carried on, and one of a key that run $1 no longer sees below zero is closed; without
-- $4 all may be below zero. Answers how many it opened, saw again and closed.
-- Locks: ACCESS SHARE on balances, which stops no writer; rows of stockfoil.finding.
WITH seen AS (
    INSERT INTO stockfoil.finding AS f (opened_run, last_run, kind, org_id, item_id, location_id, lot_id, balance_qty)
    SELECT $1, $1, 'negative', b.org::text, coalesce(b.item::text, ''), coalesce(b.location::text, ''), b.lot::text, sum(b.quantity)
    FROM (
{balance_rows}
    ) AS b
    WHERE ($2::text[] IS NULL OR b.org = ANY ($2::text[]::{org.type}[]))
      AND $4::boolean AND b.quantity < 0 AND b.quantity > '-Infinity'
      AND (b.location IS NULL OR b.location::text <> ALL ($3::text[]))
    GROUP BY 4, 5, 6, 7
    ORDER BY 4, 5, 6, 7
    ON CONFLICT (org_id, item_id, location_id, coalesce(lot_id, ''), (CASE WHEN kind IN ('changed_history', 'negative', 'backdated') THEN kind ELSE 'difference' END)) WHERE closed_run IS NULL
    DO UPDATE SET last_run = EXCLUDED.last_run, balance_qty = EXCLUDED.balance_qty
    RETURNING f.id, f.opened_run
), gone AS (
    UPDATE stockfoil.finding AS f
    SET closed_run = $1, closed_at = clock_timestamp()
    WHERE f.closed_run IS NULL AND f.kind = 'negative' AND ($2::text[] IS NULL OR f.org_id = ANY ($2))
      AND f.id NOT IN (SELECT id FROM seen)
    RETURNING f.id
)
SELECT (SELECT count(*) FROM seen WHERE opened_run = $1), (SELECT count(*) FROM seen WHERE opened_run <> $1), (SELECT count(*) FROM gone)
