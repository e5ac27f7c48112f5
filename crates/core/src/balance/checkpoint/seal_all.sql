-- Sums every entry below the oldest transaction under way, and beside them those below the last watermark, which were sealed before. Unlike
-- INSERT, CREATE TABLE AS can read in parallel.
-- Locks: ACCESS SHARE on ledger.
CREATE TEMPORARY TABLE stockfoil_seal ON COMMIT DROP AS
SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot,
       coalesce(sum(e.quantity), 0) AS quantity, count(*) AS entries, bit_xor({e.hash}) AS hash,
       coalesce(sum(e.quantity) FILTER (WHERE e.tx IS NULL OR e.tx < {watermark}), 0) AS past_quantity,
       count(*) FILTER (WHERE e.tx IS NULL OR e.tx < {watermark}) AS past_entries,
       bit_xor({e.hash}) FILTER (WHERE e.tx IS NULL OR e.tx < {watermark}) AS past_hash
FROM (
{tx_entries}
) AS e
WHERE e.tx IS NULL OR e.tx < {next}
GROUP BY 1, 2, 3, 4
