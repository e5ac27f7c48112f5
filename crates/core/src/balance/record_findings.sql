-- Records the differences that run $1 saw; an open finding of the same key is carried on. Rows of zero for keys whose
-- last entry is gone are in order, and have no kind.
-- Locks: rows of stockfoil.finding.
INSERT INTO stockfoil.finding AS f
    (opened_run, last_run, kind, org_id, item_id, location_id, lot_id, ledger_qty, balance_qty)
SELECT $1, $1, k.kind, k.org, k.item, k.location, k.lot, k.ledger_qty, k.balance_qty
FROM (
    -- A row that lacks a part of its key is written as one whose part is empty, and there may be that one, too.
    SELECT DISTINCT ON (d.org::text, coalesce(d.item::text, ''), coalesce(d.location::text, ''), coalesce(d.lot::text, ''))
           d.n, d.kind, d.org::text AS org, coalesce(d.item::text, '') AS item, coalesce(d.location::text, '') AS location,
           d.lot::text AS lot, d.ledger_qty, d.balance_qty
    FROM pg_temp.stockfoil_difference AS d
    WHERE d.kind IS NOT NULL
    ORDER BY d.org::text, coalesce(d.item::text, ''), coalesce(d.location::text, ''), coalesce(d.lot::text, ''),
             d.item IS NULL OR d.location IS NULL, d.n
) AS k
ORDER BY k.n
ON CONFLICT (org_id, item_id, location_id, coalesce(lot_id, ''), (CASE WHEN kind IN ('changed_history', 'negative', 'backdated') THEN kind ELSE 'difference' END)) WHERE closed_run IS NULL
DO UPDATE SET last_run = EXCLUDED.last_run, kind = EXCLUDED.kind, repaired = false,
    ledger_qty = EXCLUDED.ledger_qty, balance_qty = EXCLUDED.balance_qty
