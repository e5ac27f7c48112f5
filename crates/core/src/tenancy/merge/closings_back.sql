-- Takes what was closed back that run $1 gave to another organization, as its record says, for run $2; of who had it, nothing
-- may be left. Locks: rows of stockfoil.closing_balance and stockfoil.move.
WITH moved AS (
    UPDATE stockfoil.move
    SET undone_run = $2
    WHERE run_id = $1 AND schema_name = 'stockfoil' AND table_name = 'closing_balance' AND undone_run IS NULL
    RETURNING from_org, to_org, keys
), sums AS (
    SELECT m.from_org, m.to_org, (s.row ->> 0)::bigint AS closing_id, s.row ->> 1 AS item_id, s.row ->> 2 AS location_id,
           s.row ->> 3 AS lot_id, (s.row ->> 4)::numeric AS quantity, (s.row ->> 5)::bigint AS entries, (s.row ->> 6)::bigint AS hash
    FROM moved AS m
    CROSS JOIN unnest(m.keys) AS k (key)
    CROSS JOIN LATERAL (SELECT k.key::jsonb AS row) AS s
), less AS (
    UPDATE stockfoil.closing_balance AS b
    SET quantity = b.quantity - s.quantity, entries = b.entries - s.entries, hash = b.hash # s.hash
    FROM sums AS s
    WHERE b.closing_id = s.closing_id AND b.org_id = s.to_org AND b.item_id = s.item_id AND b.location_id = s.location_id
      AND b.lot_id = s.lot_id
    RETURNING b.closing_id, b.item_id, b.location_id, b.lot_id
)
INSERT INTO stockfoil.closing_balance (closing_id, org_id, item_id, location_id, lot_id, quantity, entries, hash)
SELECT s.closing_id, s.from_org, s.item_id, s.location_id, s.lot_id, s.quantity, s.entries, s.hash
FROM sums AS s
JOIN stockfoil.closing AS c ON c.id = s.closing_id
-- What the other has given on is not doubled.
JOIN less AS l USING (closing_id, item_id, location_id, lot_id)
ON CONFLICT DO NOTHING
