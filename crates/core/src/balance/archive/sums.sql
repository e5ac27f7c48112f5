-- Puts aside what each key's entries in the partition add up to, how many they are, and a hash of them.
-- Locks: ACCESS SHARE on the partition, which stops no writer.
CREATE TEMPORARY TABLE stockfoil_archive AS
SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, coalesce(sum(e.quantity), 0) AS quantity,
       count(*) AS entries, bit_xor({e.hash}) AS hash, max(e.created_at)::timestamptz AS newest_at
FROM (
{postings}
) AS e
GROUP BY 1, 2, 3, 4
