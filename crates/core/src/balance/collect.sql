-- Puts the differing keys aside, numbered in key order. Unlike INSERT, CREATE TABLE AS can read in parallel.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
CREATE TEMPORARY TABLE stockfoil_difference AS
SELECT row_number() OVER (ORDER BY {d.order}) AS n,
       d.*, d.drift <> 0 OR d.balance_qty IS NULL AS repair, NULL::text AS kind
FROM (
{difference}
) AS d
