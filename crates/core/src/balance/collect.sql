-- Puts the differing keys aside, numbered in key order. Unlike INSERT, CREATE TABLE AS can read in parallel.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
CREATE TEMPORARY TABLE stockfoil_difference AS
SELECT row_number() OVER (ORDER BY {d.order}) AS n,
       d.*, NULL::text AS kind,
       -- What is not a number can't be mended by adding, and what has no key is no entry's balance.
       (d.drift <> 0 AND d.drift > '-Infinity' AND d.drift < 'Infinity' OR d.balance_qty IS NULL)
       AND d.item IS NOT NULL AND d.location IS NOT NULL AS repair
FROM (
{difference}
) AS d
