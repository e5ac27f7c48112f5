-- Row-level security of table $1 is enabled and forced, and its policy $2 lets just those rows through, for everybody,
-- to be read and to be written, whose column $3 is $4 (as PostgreSQL prints it). Locks: none.
SELECT EXISTS (
    SELECT FROM pg_class AS c
    JOIN pg_policy AS p ON p.polrelid = c.oid AND p.polname = $2
    WHERE c.oid = to_regclass($1) AND c.relrowsecurity AND c.relforcerowsecurity
      AND p.polcmd = '*' AND p.polpermissive AND p.polroles = '{0}'
      AND pg_get_expr(p.polqual, p.polrelid) = format('(%I = %s)', $3::text, $4::text)
      AND pg_get_expr(p.polwithcheck, p.polrelid) = format('(%I = %s)', $3::text, $4::text))
