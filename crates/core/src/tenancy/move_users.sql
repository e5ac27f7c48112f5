-- Locks: rows of users that this transaction has locked already.
UPDATE {users} AS t SET {org} = $1::text::{org.type} WHERE {t.key_text} = ANY ($2)
