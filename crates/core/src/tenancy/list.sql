-- Every organization with exact counts, in one snapshot. Locks: nothing.
SELECT
    {organizations.columns},
    coalesce(u.count, 0) AS users,
    coalesce(i.count, 0) AS items
FROM {organizations} AS o
LEFT JOIN (SELECT {org} AS org, count(*) FROM {users} GROUP BY {org}) AS u ON u.org = o.id
LEFT JOIN (SELECT {org} AS org, count(*) FROM {items} GROUP BY {org}) AS i ON i.org = o.id
WHERE o.is_active OR NOT $1
ORDER BY o.created_at, o.id COLLATE "C"
