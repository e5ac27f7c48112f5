-- The table has a row with id $1. Locks: ACCESS SHARE on the table.
SELECT EXISTS (SELECT FROM {table} WHERE id::text = $1)
