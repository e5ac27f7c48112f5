-- Locks: the organization's row, which this transaction has locked already; waits for another transaction that takes the
-- same subdomain.
UPDATE {organizations}
SET name = $2, subdomain = $3, is_active = $4, updated_at = now()
WHERE id = $1::text::{org.type}
RETURNING name, subdomain, is_active, updated_at
