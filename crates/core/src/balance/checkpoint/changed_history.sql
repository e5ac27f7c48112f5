-- The keys of the organizations whose turn it is that were not marked, and whose sealed entries are not those that were
-- sealed: something changed them without the triggers seeing it.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT coalesce(c.org, h.org)::text, coalesce(c.item, h.item)::text, coalesce(c.location, h.location)::text,
       coalesce(c.lot, h.lot)::text, h.quantity::text, c.quantity::text
FROM (SELECT k.* FROM stockfoil.checkpoint_key AS k JOIN pg_temp.stockfoil_turn AS t ON t.org = k.org) AS c
FULL JOIN (
    SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot,
           coalesce(sum(e.quantity), 0) AS quantity, count(*) AS entries, bit_xor({e.hash}) AS hash
    FROM (
{tx_entries}
    ) AS e
    JOIN pg_temp.stockfoil_turn AS t ON t.org = e.org
    WHERE e.tx IS NULL OR e.tx < {watermark}
    GROUP BY 1, 2, 3, 4
) AS h ON h.org = c.org AND h.item = c.item AND h.location = c.location AND coalesce(h.lot::text, '') = coalesce(c.lot::text, '')
WHERE (c.quantity, c.entries, c.hash) IS DISTINCT FROM (h.quantity, h.entries, h.hash)
  AND NOT EXISTS (SELECT FROM pg_temp.stockfoil_dirty AS d
                  WHERE d.org = coalesce(c.org, h.org) AND d.item = coalesce(c.item, h.item)
                    AND d.location = coalesce(c.location, h.location) AND d.lot IS NOT DISTINCT FROM coalesce(c.lot, h.lot))
ORDER BY 1, 2, 3, 4
