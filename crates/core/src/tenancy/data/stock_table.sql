-- An empty table of the balances whose entries move: each key, where it goes, whether the row there was made for it, and
-- what that row held when it was taken back. Locks: nothing but a temporary table.
CREATE TEMPORARY TABLE IF NOT EXISTS stockfoil_stock AS
SELECT b.item, b.location, b.lot, b.item::text AS to_item, b.location::text AS to_location, b.lot::text AS to_lot,
       false AS reserved, NULL::numeric AS quantity
FROM (
{balance_rows}
) AS b
WHERE false
