-- Locks: nothing.
SELECT {organizations.columns} FROM {organizations} WHERE id = $1
