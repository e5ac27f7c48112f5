-- The users with the primary keys $1 whose unique key another user of organization $2, or of $1, has. Locks: nothing.
SELECT moved.key, min(other.id COLLATE "C") AS other_id
FROM (SELECT {t.key_text} AS key, {keys} FROM {users} AS t WHERE {t.key_text} = ANY ($1) AND ({predicate})) AS moved
JOIN (
    SELECT {t.key_text} AS key, coalesce({users.id.text}, {t.key_text}) AS id, {keys}
    FROM {users} AS t
    WHERE ({t.key_text} = ANY ($1) OR {org} = $2::text::{org.type}) AND ({predicate})
) AS other
    ON ({moved}) {same} ({other}) AND other.key <> moved.key
GROUP BY moved.key
ORDER BY moved.key COLLATE "C"
