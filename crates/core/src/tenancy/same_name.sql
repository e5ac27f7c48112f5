-- What organization $1 is called by, and another one too: by the id of the one and the subdomain of the other. $2 is the type of
-- ids: a uuid can be given without its hyphens; $3 whether the id of $1 is looked at too, and not its subdomain alone.
-- Locks: nothing.
WITH called AS (
    SELECT o.id::text AS id, o.name, n.text, n.is_id,
           CASE $2::text WHEN 'uuid' THEN replace(lower(n.text), '-', '') ELSE lower(n.text) END AS same
    FROM {organizations} AS o
    CROSS JOIN LATERAL (VALUES (o.id::text, true), (o.subdomain, false)) AS n (text, is_id)
    WHERE n.text IS NOT NULL
)
SELECT own.text, own.is_id, other.id, other.name
FROM called AS own
JOIN called AS other ON other.same = own.same AND other.is_id <> own.is_id AND other.id <> own.id
WHERE own.id = $1::text AND ($3::boolean OR NOT own.is_id)
ORDER BY own.is_id, other.id COLLATE "C"
LIMIT 1
