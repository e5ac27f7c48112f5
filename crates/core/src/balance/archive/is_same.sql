-- Whether the partition's entries are those that were put aside.
-- Locks: ACCESS SHARE on the partition.
SELECT NOT EXISTS (
    SELECT
    FROM (
        SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, coalesce(sum(e.quantity), 0) AS quantity,
               count(*) AS entries, bit_xor({e.hash}) AS hash
        FROM (
{postings}
        ) AS e
        GROUP BY 1, 2, 3, 4
    ) AS n
    FULL JOIN pg_temp.stockfoil_archive AS a
        ON a.org = n.org AND a.item = n.item AND a.location = n.location AND coalesce(a.lot::text, '') = coalesce(n.lot::text, '')
    WHERE (a.quantity, a.entries, a.hash) IS DISTINCT FROM (n.quantity, n.entries, n.hash)
)
