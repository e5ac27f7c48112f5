-- The rows that would break a unique key in organization $1, where another row has the same. Locks: nothing.
SELECT moved.key, moved.label, min(other.key COLLATE "C") AS other_key
FROM (
    SELECT {t.key_text} AS key, {t.label} AS label, {unique}
    FROM (
        SELECT * FROM {table} AS t WHERE EXISTS (SELECT FROM {closure} AS c WHERE {t.is_c} AND {arrives})
    ) AS t
    WHERE {predicate}
) AS moved
JOIN (
    SELECT {t.key_text} AS key, {unique}
    FROM {table} AS t
    WHERE t.{org} = $1::text::{org.type} AND ({predicate})
) AS other ON ({moved}) {same} ({other}) AND other.key <> moved.key
GROUP BY 1, 2
ORDER BY 2, 1
