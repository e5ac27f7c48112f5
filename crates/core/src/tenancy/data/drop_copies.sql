-- Deletes the copies $1 of organization $2 that nothing refers to, and counts those that stay.
-- Locks: the rows that it deletes.
WITH dropped AS (
    DELETE FROM {table} AS p
    USING (SELECT {keys_from_id} FROM unnest($1::text[]) AS i (id)) AS c ({closure_keys})
    WHERE {p.is_c} AND p.{org} = $2::text::{org.type} AND NOT ({is_used})
    RETURNING 1
)
SELECT (SELECT count(*) FROM dropped) AS dropped, cardinality($1::text[]) AS all_copies
