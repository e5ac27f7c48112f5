-- Makes closing $1 one of the new entries: of each key as many entries and as much of the hash less as went, and more as came. The
-- sums stay. How many keys that were.
-- Locks: rows of stockfoil.closing_balance.
WITH brought AS (
    UPDATE stockfoil.closing_balance AS c
    SET entries = c.entries - a.entries + coalesce(b.entries, 0), hash = c.hash # a.hash # coalesce(b.hash, 0)
    FROM pg_temp.stockfoil_archive AS a
    LEFT JOIN pg_temp.stockfoil_brought AS b
        ON b.org = a.org AND b.item = a.item AND b.location = a.location AND coalesce(b.lot::text, '') = coalesce(a.lot::text, '')
    WHERE c.closing_id = $1
      AND (c.org_id, c.item_id, c.location_id, c.lot_id) = (a.org::text, a.item::text, a.location::text, coalesce(a.lot::text, ''))
      AND coalesce(b.quantity, 0) = a.quantity
    RETURNING c.entries
)
SELECT count(*) FROM brought
