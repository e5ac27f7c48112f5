-- Every organization with exact counts, in one snapshot. Locks: nothing.
SELECT {organizations.columns}, {users.count} AS users, {items.count} AS items
FROM (
    SELECT id AS key, id::text AS id, name, subdomain, is_active, created_at, updated_at FROM {organizations}
) AS o
{users.join}
{items.join}
WHERE o.is_active OR NOT $1
ORDER BY o.created_at, o.id COLLATE "C"
