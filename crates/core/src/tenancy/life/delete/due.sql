-- When the run of org-delete that deactivated organization $1 last lets it be deleted, and whether that time has come; no row
-- where there was none, or the organization was changed since.
-- Locks: none.
SELECT r.summary ->> 'deletable_at' AS deletable_at, (r.summary ->> 'deletable_at')::timestamptz <= now() AS is_due
FROM stockfoil.run AS r
WHERE r.command = 'org-delete' AND r.summary ->> 'org_id' = $1 AND r.summary ->> 'deletable_at' IS NOT NULL
  AND NOT EXISTS (SELECT FROM stockfoil.run AS later
                  WHERE later.id > r.id AND later.command = 'org-update' AND later.summary ->> 'org_id' = $1
                    AND later.summary -> 'changed' @> '[{"field": "is_active", "to": true}]')
ORDER BY r.id DESC
LIMIT 1
