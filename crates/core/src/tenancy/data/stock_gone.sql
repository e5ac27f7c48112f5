-- The balances that have gone from organization $1 to organization $2. Locks: nothing but a temporary table.
SELECT $2::text::{org.type} AS org, s.to_item::{item.type} AS item, s.to_location::{location.type} AS location,
       s.to_lot::{lot.type} AS lot
FROM pg_temp.stockfoil_stock AS s
WHERE s.quantity IS NOT NULL AND $1::text IS DISTINCT FROM $2::text
