-- The organizations, only active ones where $1 says so, with their keys: how many lead to them, how many were used in the last $2
-- days, and the last day of use. Locks: nothing.
SELECT o.id::text, o.name, o.is_active,
       count(k.key_id) FILTER (WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())),
       count(k.key_id) FILTER (WHERE k.last_used_on > (now() AT TIME ZONE 'UTC')::date - $2::integer), max(k.last_used_on)::text
FROM (SELECT id AS key, id, name, is_active FROM {organizations}) AS o
LEFT JOIN {api_keys} AS k ON k.org_id = o.key
WHERE o.is_active OR NOT $1
GROUP BY o.id, o.name, o.is_active
