-- Takes back the rows that were made in organization $2 for balances of organization $1 that have no entry any more. Nobody
-- has seen them: this transaction made them.
-- Locks: the rows that it takes back, which it holds already.
WITH free AS (
    SELECT s.*
    FROM pg_temp.stockfoil_stock AS s
    JOIN (
{balance_rows}
    ) AS b ON b.org = $1::text::{org.type} AND b.item = s.item AND b.location = s.location AND b.lot IS NOT DISTINCT FROM s.lot
    WHERE s.reserved AND s.quantity IS NULL AND b.quantity = 0
      AND NOT EXISTS (
          SELECT FROM (
{entries}
          ) AS e
          WHERE e.org = $1::text::{org.type} AND {e.item} = s.item AND {e.location} = s.location
            AND {e.lot} IS NOT DISTINCT FROM s.lot)
), gone AS (
    DELETE FROM {balances} AS b
    USING (
        SELECT $2::text::{org.type} AS org, f.to_item::{item.type} AS item, f.to_location::{location.type} AS location,
               f.to_lot::{lot.type} AS lot
        FROM free AS f
    ) AS d
    WHERE {b.is_d}
    RETURNING b.*
)
UPDATE pg_temp.stockfoil_stock AS s
SET quantity = b.quantity
FROM (
{gone_rows}
) AS b
WHERE s.reserved AND b.item::text = s.to_item AND b.location::text = s.to_location AND b.lot::text IS NOT DISTINCT FROM s.to_lot
