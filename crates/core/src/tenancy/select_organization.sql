-- Locks: nothing.
SELECT is_active FROM {organizations} WHERE id = $1
