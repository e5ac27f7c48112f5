-- Gives the rows of organization $1 whose entries have all gone to organization $2, under their new keys and with what was
-- counted there; says their primary keys.
-- Locks: the rows that it changes, which the entries' move has locked already.
UPDATE {balances} AS b
SET {set_key}{org} = $2::text::{org.type}, {balances.quantity} = d.moved
FROM (
    SELECT $1::text::{org.type} AS org, s.item, s.location, s.lot, s.to_item, s.to_location, s.to_lot, s.quantity AS moved
    FROM pg_temp.stockfoil_stock AS s
    WHERE s.quantity IS NOT NULL
) AS d
WHERE {b.is_d}
RETURNING {row_key}
