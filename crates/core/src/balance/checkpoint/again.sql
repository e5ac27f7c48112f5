-- Sums again, whatever their age: all entries of the keys put aside, and all entries of the organizations whose turn it is.
-- As `new.sql`; and of those that were sealed before, below {watermark}.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
CREATE TEMPORARY TABLE stockfoil_again ON COMMIT DROP AS
SELECT d.org, d.item, d.location, d.lot,
       coalesce(sum(e.quantity) FILTER (WHERE e.tx IS NULL OR e.tx < {next}), 0) AS sealed_quantity,
       coalesce(sum(e.quantity) FILTER (WHERE e.tx >= {next}), 0) AS pending_quantity,
       count(*) FILTER (WHERE e.tx IS NULL OR e.tx < {next}) AS sealed_entries,
       bit_xor({e.hash}) FILTER (WHERE e.tx IS NULL OR e.tx < {next}) AS sealed_hash,
       coalesce(sum(e.quantity) FILTER (WHERE e.tx IS NULL OR e.tx < {watermark}), 0) AS past_quantity,
       count(*) FILTER (WHERE e.tx IS NULL OR e.tx < {watermark}) AS past_entries,
       bit_xor({e.hash}) FILTER (WHERE e.tx IS NULL OR e.tx < {watermark}) AS past_hash
FROM pg_temp.stockfoil_dirty AS d
JOIN (
{tx_entries}
) AS e ON e.org = d.org AND {e.item} = d.item AND {e.location} = d.location AND {e.lot} IS NOT DISTINCT FROM d.lot
WHERE NOT EXISTS (SELECT FROM pg_temp.stockfoil_turn AS t WHERE t.org = d.org)
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT e.org, {e.item}, {e.location}, {e.lot},
       coalesce(sum(e.quantity) FILTER (WHERE e.tx IS NULL OR e.tx < {next}), 0),
       coalesce(sum(e.quantity) FILTER (WHERE e.tx >= {next}), 0),
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
