-- The organizations that have a user of the address $1. Locks: ACCESS SHARE, which stops no writer.
SELECT t.{org} FROM {users} AS t WHERE {users.email} = $1
