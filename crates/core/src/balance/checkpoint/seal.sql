-- Seals the entries from watermark {watermark} up to the oldest transaction under way, and marked keys and the
-- organizations whose turn it was from the beginning.
-- Locks: rows of stockfoil.checkpoint_key; ACCESS SHARE on ledger.
INSERT INTO stockfoil.checkpoint_key AS c (org, item, location, lot, quantity, entries, hash)
SELECT s.org, s.item, s.location, s.lot, coalesce(sum(s.quantity), 0), count(*), bit_xor(s.hash)
FROM (
    SELECT n.*
    FROM (
        SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, e.quantity, {e.hash} AS hash
        FROM (
{tx_entries}
        ) AS e
        WHERE e.tx >= {watermark} AND e.tx < {next}
    ) AS n
    WHERE NOT EXISTS (SELECT FROM pg_temp.stockfoil_turn AS t WHERE t.org = n.org)
      AND NOT EXISTS (SELECT FROM pg_temp.stockfoil_dirty AS d
                      WHERE d.org = n.org AND d.item = n.item AND d.location = n.location
                        AND d.lot IS NOT DISTINCT FROM n.lot)
    UNION ALL
    SELECT d.org, d.item, d.location, d.lot, e.quantity, {e.hash}
    FROM pg_temp.stockfoil_dirty AS d
    JOIN (
{tx_entries}
    ) AS e ON e.org = d.org AND {e.item} = d.item AND {e.location} = d.location AND {e.lot} IS NOT DISTINCT FROM d.lot
    WHERE (e.tx IS NULL OR e.tx < {next})
      AND NOT EXISTS (SELECT FROM pg_temp.stockfoil_turn AS t WHERE t.org = d.org)
    UNION ALL
    SELECT e.org, {e.item}, {e.location}, {e.lot}, e.quantity, {e.hash}
    FROM (
{tx_entries}
    ) AS e
    JOIN pg_temp.stockfoil_turn AS t ON t.org = e.org
    WHERE e.tx IS NULL OR e.tx < {next}
) AS s
GROUP BY 1, 2, 3, 4
ON CONFLICT (org, item, location, lot) DO UPDATE
SET quantity = c.quantity + EXCLUDED.quantity, entries = c.entries + EXCLUDED.entries, hash = c.hash # EXCLUDED.hash
