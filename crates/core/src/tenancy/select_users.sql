-- Users by id, or of one organization or none, or all of them.
-- Locks: nothing in a dry run; else the rows against every other writer, in the order of their key.
SELECT {users.id.text} AS id, {users.email} AS email, {org}::text AS org_id
FROM {users}
WHERE ($1::text[] IS NULL OR {users.id.text} = ANY ($1))
  AND ($2::text IS NULL OR {org} = $2::text::{org.type} OR {org} IS NULL)
ORDER BY {users.id.text} COLLATE "C"
{lock}
