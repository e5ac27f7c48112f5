-- Records the keys whose sealed entries run $1 found changed, with what these add up to now and did when they were
-- sealed ($2 to $7); an open finding of the same key is carried on.
-- Locks: rows of stockfoil.finding.
INSERT INTO stockfoil.finding AS f
    (opened_run, last_run, kind, org_id, item_id, location_id, lot_id, ledger_qty, sealed_qty)
SELECT $1, $1, 'changed_history', h.org, h.item, h.location, h.lot, h.ledger_qty::numeric, h.sealed_qty::numeric
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS h (org, item, location, lot, ledger_qty, sealed_qty)
ORDER BY 4, 5, 6, 7
ON CONFLICT (org_id, item_id, location_id, coalesce(lot_id, ''), (CASE WHEN kind IN ('changed_history', 'negative', 'backdated') THEN kind ELSE 'difference' END)) WHERE closed_run IS NULL
DO UPDATE SET last_run = EXCLUDED.last_run, ledger_qty = EXCLUDED.ledger_qty, sealed_qty = EXCLUDED.sealed_qty
