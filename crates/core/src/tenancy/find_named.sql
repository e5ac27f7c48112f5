-- The organizations that a text names: by their id, with $1 in the form that ids have (NULL where the text can't be one),
-- or by their subdomain, with $2 in lower case. Locks: nothing.
SELECT id::text AS id, name, subdomain, (id::text = $1) IS TRUE AS has_id
FROM {organizations}
WHERE id::text = $1 OR lower(subdomain) = $2
ORDER BY has_id DESC, id
