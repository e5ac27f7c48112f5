-- The organizations whose keys are to be compared: those of which the hash total of entries is other than that of the
-- balances, those whose turn it is, and those with a key that a run saw differ; or all ($3). Of entries, what is sealed is known; $1 and $2 are organizations,
-- pairwise with what is not sealed yet, and with what their balances come to, negated. A balance that is wrong changes the
-- total by its difference times its weight, so that differences do not cancel out; what is not a number makes it none.
-- Locks: nothing.
SELECT t.org::text
FROM (
    SELECT org, hash_total AS total FROM stockfoil.checkpoint_total
    UNION ALL
    SELECT s.org::{org.type}, s.total::numeric FROM unnest($1::text[], $2::text[]) AS s (org, total)
) AS t
GROUP BY t.org
HAVING $3 OR sum(t.total) IS DISTINCT FROM 0 OR t.org IN (SELECT org FROM pg_temp.stockfoil_turn)
    OR t.org IN (SELECT org FROM pg_temp.stockfoil_dirty WHERE NOT is_changed)
ORDER BY t.org
