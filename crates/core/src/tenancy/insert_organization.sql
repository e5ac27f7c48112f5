-- Locks: the new row; waits for another transaction that inserts the same id or subdomain.
INSERT INTO {organizations} (id, name, subdomain, is_active)
VALUES ({new_id}, $2, $3, $4)
RETURNING id::text, created_at
