-- The differences as text, in key order.
-- Locks: nothing but a temporary table.
SELECT n, org::text, item::text, location::text, lot::text, ledger_qty::text, balance_qty::text
FROM pg_temp.stockfoil_difference
ORDER BY n
