-- Locks: rows of users that this transaction has locked already.
UPDATE {users} SET {org} = $1::text::{org.type} WHERE {users.id.text} = ANY ($2)
