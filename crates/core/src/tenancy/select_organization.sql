-- One organization, its id as text. Locks: nothing.
SELECT {organizations.columns}
FROM (SELECT id::text AS id, name, subdomain, is_active, created_at, updated_at FROM {organizations}) AS o
WHERE id = $1
