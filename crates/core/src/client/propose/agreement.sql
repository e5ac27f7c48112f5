-- The balances of the first keys of table {kept_table} ($1: how many), and what the entries of each kind in the ledger add
-- up to for them; an entry that changes several places is several. Locks: ACCESS SHARE on both tables, which stops no writer.
WITH kept AS (
    SELECT ARRAY[{kept_key}] AS key, trim_scale(sum(b.{kept_quantity}::numeric))::text AS quantity
    FROM {kept_table} AS b
    GROUP BY 1
    HAVING sum(b.{kept_quantity}::numeric) IS NOT NULL
    LIMIT $1
), entry AS ({signed_entries})
SELECT kept.key, entry.kind, trim_scale(sum(entry.quantity))::text AS sum, kept.quantity AS other
FROM kept LEFT JOIN entry ON entry.key = kept.key
GROUP BY 1, 2, 4
ORDER BY 1
