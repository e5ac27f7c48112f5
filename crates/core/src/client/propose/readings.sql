-- Three keys of the ledger {table} with many entries: what those of each kind add up to, and the last one of all. $1: how many of its
-- first rows are looked at. Locks: ACCESS SHARE on the table, which stops no writer.
WITH entry AS (
    SELECT e.key, e.kind, e.quantity, row_number() OVER () AS place
    FROM ({signed_entries}) AS e LIMIT $1
), most AS (
    SELECT key FROM entry GROUP BY key ORDER BY count(*) DESC, key LIMIT 3
)
SELECT entry.key, entry.kind, trim_scale(sum(entry.quantity))::text AS sum,
       (SELECT trim_scale(l.quantity)::text FROM entry AS l WHERE l.key = entry.key ORDER BY l.place DESC LIMIT 1) AS other
FROM entry JOIN most ON most.key = entry.key
GROUP BY 1, 2
ORDER BY 1, 2
