-- The keys of active organizations, or of organization $2 alone, that live and end within $1 seconds, and whether the organization
-- has one that lives longer. Locks: nothing.
SELECT o.id::text AS org_id, o.name AS org_name, k.key_id, k.expires_at,
       CASE WHEN isfinite(k.last_used_on) THEN to_char(k.last_used_on, 'YYYY-MM-DD') ELSE k.last_used_on::text END AS last_used_on,
       EXISTS (SELECT FROM {api_keys} AS n
               WHERE n.org_id = k.org_id AND n.revoked_at IS NULL
                 AND (n.expires_at IS NULL OR n.expires_at > now() + $1::bigint * interval '1 second')) AS is_followed
FROM {api_keys} AS k
JOIN {organizations} AS o ON o.id = k.org_id
WHERE o.is_active AND k.revoked_at IS NULL AND k.expires_at > now() AND k.expires_at <= now() + $1::bigint * interval '1 second'
  AND ($2::text IS NULL OR o.id::text = $2)
ORDER BY k.expires_at, k.key_id COLLATE "C"
