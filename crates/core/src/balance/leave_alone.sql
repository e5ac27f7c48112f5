-- Takes the repair of the keys $1 to $4 back: what they lack in the ledger is brought forward, or comes back.
-- Locks: nothing but a temporary table.
UPDATE pg_temp.stockfoil_difference AS d
SET repair = false
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (org, item, location, lot)
WHERE (d.org::text, d.item::text, d.location::text, coalesce(d.lot::text, '')) = (k.org, k.item, k.location, coalesce(k.lot, ''))
