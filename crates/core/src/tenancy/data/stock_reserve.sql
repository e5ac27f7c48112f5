-- Makes the balances of organization $1 that entries will be counted in, empty, where there are none.
-- Locks: the rows that it makes, in key order: who writes their keys waits until the move is over.
WITH made AS (
    INSERT INTO {balances} ({balances.drift_columns})
    SELECT {balances.drift_values}
    FROM (
        SELECT $1::text::{org.type} AS org, s.to_item::{item.type} AS item, s.to_location::{location.type} AS location,
               s.to_lot::{lot.type} AS lot, 0::numeric AS delta
        FROM pg_temp.stockfoil_stock AS s
        WHERE NOT s.reserved
    ) AS d
    ORDER BY {d.order}
    ON CONFLICT ({balances.conflict}){balances.where} DO NOTHING
    RETURNING *
)
UPDATE pg_temp.stockfoil_stock AS s
SET reserved = true
FROM (
{made_rows}
) AS b
WHERE b.item::text = s.to_item AND b.location::text = s.to_location AND b.lot::text IS NOT DISTINCT FROM s.to_lot
