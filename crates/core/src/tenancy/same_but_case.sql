-- The organization whose id differs from $1 in the case of its letters alone. Locks: nothing.
SELECT id::text, name FROM {organizations} WHERE lower(id::text) = lower($1::text) AND id::text <> $1::text ORDER BY id LIMIT 1
