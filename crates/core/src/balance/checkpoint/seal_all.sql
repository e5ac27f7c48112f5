-- Sums every entry below the oldest transaction under way. Unlike INSERT, CREATE TABLE AS can read in parallel.
-- Locks: ACCESS SHARE on ledger.
CREATE TEMPORARY TABLE stockfoil_seal ON COMMIT DROP AS
SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot,
       coalesce(sum(e.quantity), 0) AS quantity, count(*) AS entries, bit_xor({e.hash}) AS hash
FROM (
{tx_entries}
) AS e
WHERE e.tx IS NULL OR e.tx < {next}
GROUP BY 1, 2, 3, 4
