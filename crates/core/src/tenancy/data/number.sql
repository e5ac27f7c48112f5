-- Numbers the rows of the organizations $1 that move: entries of one balance one after the other, so that a batch changes few
-- balances, else in the order of their key. Locks: ACCESS SHARE, which stops no writer.
UPDATE {closure} AS c
SET n = r.n
FROM (
    SELECT {numbered_keys}, row_number() OVER (ORDER BY c.move_id, {number_order}) AS n
    FROM {closure} AS c
    JOIN (SELECT {named_keys}{number_parts} FROM {table} AS t) AS s ON {s.is_c}
    WHERE NOT c.shared AND c.org = ANY ($1::text[])
) AS r
WHERE {r.is_c}
