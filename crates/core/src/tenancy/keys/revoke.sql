-- Revokes those of organization $1's keys $2 that are not revoked yet. Locks: the keys' rows.
UPDATE {api_keys}
SET revoked_at = now()
WHERE org_id = $1::text::{org.type} AND key_id = ANY ($2) AND revoked_at IS NULL
RETURNING key_id
