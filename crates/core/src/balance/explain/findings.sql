-- The newest $5 findings of one key ($1 to $4), the newest first.
-- Locks: nothing.
SELECT id, kind, opened_run, opened_at, last_run, closed_run, closed_at, ledger_qty::text, balance_qty::text,
       sealed_qty::text, repaired,
       -- Records of an older release have neither.
       to_jsonb(f) ->> 'entry_id' AS entry_id, to_jsonb(f) ->> 'reason' AS reason
FROM stockfoil.finding AS f
WHERE org_id = $1 AND item_id = $2 AND location_id = $3 AND coalesce(lot_id, '') = coalesce($4, '')
ORDER BY id DESC
LIMIT $5
