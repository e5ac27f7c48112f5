-- Locks: the new row, and its organization's row against deletion.
INSERT INTO {api_keys} (key_id, org_id, hash)
VALUES ($1, $2::text::{org.type}, $3)
RETURNING hash
