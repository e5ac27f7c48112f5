-- Permissive policies of the tables $1 beside that of the name $2: they let further rows through; and what drops each. Locks: none.
SELECT regexp_replace(p.polrelid::regclass::text, '^public\.', ''), p.polname::text,
       coalesce(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid), 'true'),
       format('DROP POLICY %I ON %s', p.polname, p.polrelid::regclass)
FROM pg_policy AS p
WHERE p.polrelid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t) AND p.polpermissive AND p.polname <> $2
ORDER BY 1, 2
