-- Leaves of the records of earlier runs about organization $1 no more than its id, who made them, by what they tell users apart, the subdomains that it gave up,
-- which are held back, and the run $2 that deleted it.
-- Locks: the rows of stockfoil.run that change.
UPDATE stockfoil.run
SET summary = jsonb_build_object('org_id', $1::text, 'deleted_by_run', $2::bigint)
    || jsonb_strip_nulls(jsonb_build_object('by', summary -> 'by', 'keys', CASE command WHEN 'users-assign' THEN summary -> 'keys' END))
    || CASE WHEN summary @? '$.changed[*] ? (@.field == "subdomain")'
            THEN jsonb_build_object('changed', jsonb_path_query_array(summary, '$.changed[*] ? (@.field == "subdomain")'))
            ELSE '{}' END
WHERE id <> $2
  AND command IN ('org-create', 'org-update', 'org-delete', 'org-import', 'org-merge', 'users-assign', 'data-assign')
  -- The certificate of an earlier organization of that id stays what it is.
  AND NOT (command = 'org-delete' AND coalesce(summary ->> 'state', '') = 'deleted')
  -- Where ids stand: a person or a name may be called the same.
  AND ($1::text IN (summary ->> 'org_id', summary ->> 'from_org_id', summary ->> 'into_org_id', summary -> 'merge' ->> 'from',
                    summary -> 'merge' ->> 'into', summary -> 'assignment' ->> 'org_id', summary -> 'assignment' ->> 'from')
       OR jsonb_path_exists(summary, '$.organizations[*] ? (@.org_id == $org)', jsonb_build_object('org', $1::text)))
