-- The organizations that a user of the address $1 is a member of. Locks: ACCESS SHARE, which stops no writer.
SELECT m.{memberships.org} FROM {memberships} AS m
WHERE m.{memberships.user} IN (SELECT t.{users.id} FROM {users} AS t WHERE {users.email} = $1)
