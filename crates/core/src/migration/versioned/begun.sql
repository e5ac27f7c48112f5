-- Whether schema stockfoil holds nothing but the table of applied versions, with its index and types, and both are this role's.
-- Locks: none.
SELECT EXISTS (
    SELECT FROM pg_class AS m
    JOIN pg_namespace AS n ON n.oid = m.relnamespace
    WHERE m.oid = to_regclass('stockfoil.migration') AND pg_has_role(m.relowner, 'USAGE') AND pg_has_role(n.nspowner, 'USAGE')
      AND NOT EXISTS (
          SELECT FROM pg_depend AS d
          WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'
            AND NOT (d.classid = 'pg_class'::regclass AND d.objid = m.oid)))
