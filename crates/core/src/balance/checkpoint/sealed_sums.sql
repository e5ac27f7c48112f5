-- What every key's entries add up to: those that are sealed now, and those that are not yet.
-- Locks: nothing but temporary tables.
SELECT org, item, location, lot, quantity FROM pg_temp.stockfoil_seal
UNION ALL
SELECT org, item, location, lot, quantity FROM pg_temp.stockfoil_pending
