-- Whether there is a schema stockfoil of this role's with nothing in it. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_namespace AS n
    WHERE n.nspname = 'stockfoil' AND pg_has_role(n.nspowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'))
