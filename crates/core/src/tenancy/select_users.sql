-- Users by id, or of one organization or none, or by primary key, or all of them.
-- Locks: nothing in a dry run; else the rows against every other writer, in the order of their key.
SELECT {t.key_text} AS key, coalesce({users.id.text}, {t.key_text}) AS id, {users.email} AS email, {org}::text AS org_id
FROM {users} AS t
WHERE ($1::text[] IS NULL OR {users.id.text} = ANY ($1))
  AND ($2::text IS NULL OR {org} = $2::text::{org.type} OR {org} IS NULL)
  AND ($3::text[] IS NULL OR {t.key_text} = ANY ($3))
ORDER BY {t.key_text} COLLATE "C"
{lock}
