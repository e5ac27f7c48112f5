-- Records the keys whose closed entries run $1 found changed, with what these add up to now and did when they were closed
-- ($3 to $8); an open finding of the same key is carried on, and those of the organizations $2, or of all (NULL), that are no
-- longer so are closed.
-- Locks: rows of stockfoil.finding.
WITH seen AS (
    INSERT INTO stockfoil.finding AS f
        (opened_run, last_run, kind, org_id, item_id, location_id, lot_id, ledger_qty, sealed_qty)
    SELECT $1, $1, 'backdated', h.org, h.item, h.location, nullif(h.lot, ''), h.ledger_qty::numeric, h.closed_qty::numeric
    FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
        AS h (org, item, location, lot, ledger_qty, closed_qty)
    ORDER BY 4, 5, 6, 7
    ON CONFLICT (org_id, item_id, location_id, coalesce(lot_id, ''), (CASE WHEN kind IN ('changed_history', 'negative', 'backdated') THEN kind ELSE 'difference' END)) WHERE closed_run IS NULL
    DO UPDATE SET last_run = EXCLUDED.last_run, ledger_qty = EXCLUDED.ledger_qty, sealed_qty = EXCLUDED.sealed_qty
    RETURNING f.id
)
UPDATE stockfoil.finding AS f
SET closed_run = $1, closed_at = clock_timestamp()
WHERE f.closed_run IS NULL AND f.kind = 'backdated' AND ($2::text[] IS NULL OR f.org_id = ANY ($2))
  AND f.id NOT IN (SELECT id FROM seen)
