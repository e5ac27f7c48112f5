-- The keys whose entries below the last watermark are not those that were sealed, where no trigger marked them: what they add up to
-- now and did. The first 10,000 of them: more are of one cause.
-- Locks: nothing but the checkpoint's own.
SELECT coalesce(c.org, s.org)::text, coalesce(c.item, s.item)::text, coalesce(c.location, s.location)::text,
       coalesce(c.lot, s.lot)::text, s.past_quantity::text, c.quantity::text
FROM (
    SELECT k.org, k.item, k.location, k.lot, sum(k.quantity) AS quantity, sum(k.entries) AS entries, bit_xor(k.hash) AS hash
    FROM stockfoil.checkpoint_sum AS k
    GROUP BY 1, 2, 3, 4
) AS c
FULL JOIN (SELECT * FROM pg_temp.stockfoil_seal WHERE past_entries > 0) AS s
    ON s.org = c.org AND s.item = c.item AND s.location = c.location AND coalesce(s.lot::text, '') = coalesce(c.lot::text, '')
WHERE (c.quantity, c.entries, c.hash) IS DISTINCT FROM (s.past_quantity, s.past_entries::numeric, s.past_hash)
  AND NOT EXISTS (SELECT FROM pg_temp.stockfoil_dirty AS d
                  WHERE d.is_changed AND d.org = coalesce(c.org, s.org) AND d.item = coalesce(c.item, s.item)
                    AND d.location = coalesce(c.location, s.location) AND d.lot IS NOT DISTINCT FROM coalesce(c.lot, s.lot))
ORDER BY 1, 2, 3, 4
LIMIT 10000
