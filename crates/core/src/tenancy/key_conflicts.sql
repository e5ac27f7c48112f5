-- The users of $1 whose key another user of organization $2, or of $1, has. Locks: nothing.
SELECT moved.id, min(other.id COLLATE "C") AS other_id
FROM (SELECT {users.id.text} AS id, {keys} FROM {users} WHERE {users.id.text} = ANY ($1) AND ({predicate})) AS moved
JOIN (
    SELECT {users.id.text} AS id, {keys} FROM {users} WHERE ({users.id.text} = ANY ($1) OR {org} = $2::text::{org.type}) AND ({predicate})
) AS other
    ON ({moved}) {same} ({other}) AND other.id <> moved.id
GROUP BY moved.id
ORDER BY moved.id COLLATE "C"
