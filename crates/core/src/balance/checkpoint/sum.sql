-- Sums, once for all that follows: the entries from watermark {watermark} on; all entries of marked keys; all entries of
-- the organizations whose turn it is. By key: of all entries; of those that can be sealed now, below {next}; and for
-- those whose turn it is, of those that were sealed before.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
CREATE TEMPORARY TABLE stockfoil_sum ON COMMIT DROP AS
SELECT n.org, n.item, n.location, n.lot, coalesce(sum(n.quantity), 0) AS quantity,
       coalesce(sum(n.quantity) FILTER (WHERE n.tx < {next}), 0) AS sealed_quantity,
       count(*) FILTER (WHERE n.tx < {next}) AS sealed_entries,
       bit_xor(n.hash) FILTER (WHERE n.tx < {next}) AS sealed_hash,
       NULL::numeric AS past_quantity, NULL::bigint AS past_entries, NULL::bigint AS past_hash
FROM (
    SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, e.quantity, e.tx, {e.hash} AS hash
    FROM (
{tx_entries}
    ) AS e
    WHERE e.tx >= {watermark}
) AS n
WHERE NOT EXISTS (SELECT FROM pg_temp.stockfoil_turn AS t WHERE t.org = n.org)
  AND NOT EXISTS (SELECT FROM pg_temp.stockfoil_dirty AS d
                  WHERE d.org = n.org AND d.item = n.item AND d.location = n.location AND d.lot IS NOT DISTINCT FROM n.lot)
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT d.org, d.item, d.location, d.lot, coalesce(sum(e.quantity), 0),
       coalesce(sum(e.quantity) FILTER (WHERE e.tx IS NULL OR e.tx < {next}), 0),
       count(*) FILTER (WHERE e.tx IS NULL OR e.tx < {next}),
       bit_xor({e.hash}) FILTER (WHERE e.tx IS NULL OR e.tx < {next}),
       NULL, NULL, NULL
FROM pg_temp.stockfoil_dirty AS d
JOIN (
{tx_entries}
) AS e ON e.org = d.org AND {e.item} = d.item AND {e.location} = d.location AND {e.lot} IS NOT DISTINCT FROM d.lot
WHERE NOT EXISTS (SELECT FROM pg_temp.stockfoil_turn AS t WHERE t.org = d.org)
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT e.org, {e.item}, {e.location}, {e.lot}, coalesce(sum(e.quantity), 0),
       coalesce(sum(e.quantity) FILTER (WHERE e.tx IS NULL OR e.tx < {next}), 0),
       count(*) FILTER (WHERE e.tx IS NULL OR e.tx < {next}),
       bit_xor({e.hash}) FILTER (WHERE e.tx IS NULL OR e.tx < {next}),
       coalesce(sum(e.quantity) FILTER (WHERE e.tx IS NULL OR e.tx < {watermark}), 0),
       count(*) FILTER (WHERE e.tx IS NULL OR e.tx < {watermark}),
       bit_xor({e.hash}) FILTER (WHERE e.tx IS NULL OR e.tx < {watermark})
FROM (
{tx_entries}
) AS e
JOIN pg_temp.stockfoil_turn AS t ON t.org = e.org
GROUP BY 1, 2, 3, 4
