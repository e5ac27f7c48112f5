-- Locks: rows of users that this transaction has locked already.
UPDATE {users} SET {org} = $1 WHERE {users.id} = ANY ($2)
