-- The keys of organization $1, the oldest first. Locks: nothing.
SELECT k.key_id,
       CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.expires_at <= now() THEN 'expired' ELSE 'live' END AS state,
       k.created_at, k.expires_at, k.revoked_at,
       CASE WHEN isfinite(k.last_used_on) THEN to_char(k.last_used_on, 'YYYY-MM-DD') ELSE k.last_used_on::text END AS last_used_on,
       -- Two columns that the table of an earlier release has not.
       to_jsonb(k) ->> 'label' AS label, to_jsonb(k) ->> 'scopes' AS scopes
FROM {api_keys} AS k
WHERE k.org_id = $1::text::{org.type}
ORDER BY k.created_at, k.key_id COLLATE "C"
