-- How many keys have several rows, how many rows these are, and three of the keys.
-- Locks: ACCESS SHARE on the table, which it reads whole.
WITH several AS MATERIALIZED (
    SELECT {unique_key}, count(*) AS stockfoil_rows
    FROM {table}
    WHERE ({predicate}) AND {distinct}
    GROUP BY {unique_key}
    HAVING count(*) > 1
)
SELECT count(*), coalesce(sum(s.stockfoil_rows), 0)::bigint,
       ARRAY(SELECT concat_ws('/', {key_texts}) FROM several AS b ORDER BY 1 LIMIT 3)
FROM several AS s
