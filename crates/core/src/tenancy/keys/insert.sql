-- Locks: the new row, and its organization's row against deletion.
INSERT INTO {api_keys} (key_id, org_id, hash, expires_at)
VALUES ($1, $2::text::{org.type}, $3, now() + $4 * interval '1 second')
RETURNING hash, expires_at
