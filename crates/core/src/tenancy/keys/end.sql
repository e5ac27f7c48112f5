-- Lets the keys of organization $1 but $2 live for $3 more seconds at most. Locks: the keys' rows.
UPDATE {api_keys}
SET expires_at = now() + $3 * interval '1 second'
WHERE org_id = $1::text::{org.type} AND key_id <> $2 AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > now() + $3 * interval '1 second')
RETURNING key_id
