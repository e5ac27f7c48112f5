-- One organization, its id as text. Locks: nothing, or its row against other changes.
SELECT {organizations.columns}
FROM (
    SELECT id::text AS id, name, subdomain, is_active, created_at, updated_at
    FROM {organizations} WHERE id::text = $1 {lock}
) AS o
