-- Which organization but $2 gave up subdomain $1 last, and when, if that is less than $3 days ago. Locks: none.
SELECT r.summary ->> 'org_id', r.finished_at
FROM stockfoil.run AS r
WHERE r.command IN ('org-update', 'org-delete') AND r.outcome = 'clean' AND r.finished_at > now() - make_interval(days => $3)
  AND (r.summary @> jsonb_build_object('changed', jsonb_build_array(jsonb_build_object('field', 'subdomain', 'from', $1::text)))
       OR (r.command = 'org-delete' AND r.summary ->> 'subdomain' = $1))
  AND r.summary ->> 'org_id' <> $2
ORDER BY r.finished_at DESC
LIMIT 1
