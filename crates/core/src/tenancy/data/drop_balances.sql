-- Deletes the balances of zero that the copies $1 of organization $2 have left behind, where nothing else refers to the copy.
-- Locks: the rows that it deletes.
DELETE FROM {balances} AS u
USING (SELECT {keys_from_id} FROM unnest($1::text[]) AS i (id)) AS c ({closure_keys})
JOIN {table} AS p ON {p.is_c}
WHERE {u.refers_p} AND u.{balances.quantity} = 0 AND p.{org} = $2::text::{org.type} AND NOT ({is_used})
