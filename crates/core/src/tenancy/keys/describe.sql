-- Says of key $1 of organization $2 what it is called and what it is for; NULL leaves that as it is. Locks: the key's row.
UPDATE {api_keys}
SET label = coalesce($3, label), scopes = coalesce($4, scopes)
WHERE key_id = $1 AND org_id = $2::text::{org.type}
RETURNING label::text, scopes::text
