-- The organizations from before $1; those of which no time is known, too.
-- Locks: ACCESS SHARE on the organizations.
SELECT o.id::text
FROM {organizations} AS o
WHERE coalesce((to_jsonb(o) ->> 'created_at')::timestamptz < $1, true)
