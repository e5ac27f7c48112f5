-- Puts aside the keys of balances whose weight is one of those put aside.
-- Locks: ACCESS SHARE on balances, which stops no writer.
INSERT INTO pg_temp.stockfoil_suspect (org, item, location, lot)
SELECT DISTINCT org, item, location, lot
FROM (
{balance_rows}
) AS b
WHERE {key.weight} IN (SELECT w.weight FROM pg_temp.stockfoil_weight AS w)
