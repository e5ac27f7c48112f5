-- Stockfoil's own objects: the schema stockfoil with what is in it, and the tables {own_tables} with the sequences of their columns.
-- Locks: none.
SELECT 'n' || n.oid::text AS address, 'schema' AS kind, format('%I', n.nspname) AS object, n.nspname::text AS schema_name, n.nspname::text AS name,
       n.nspowner AS owner, 0::oid AS namespace, 'n' AS default_type, coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl
FROM pg_namespace AS n
WHERE n.nspname = 'stockfoil'
UNION ALL
SELECT 'r' || c.oid::text, CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, format('%I.%I', n.nspname, c.relname), n.nspname::text, c.relname::text,
       c.relowner, c.relnamespace, CASE c.relkind WHEN 'S' THEN 'S' ELSE 'r' END,
       coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, c.relowner))
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S')
  AND (n.nspname = 'stockfoil' OR c.oid = ANY (ARRAY(SELECT to_regclass(t)::oid FROM unnest({own_tables}) AS t))
       OR c.relkind = 'S' AND EXISTS (
                  SELECT FROM pg_depend AS d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
                    AND d.refobjid = ANY (ARRAY(SELECT to_regclass(t)::oid FROM unnest({own_tables}) AS t))))
UNION ALL
SELECT 'f' || p.oid::text, 'routine', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), n.nspname::text, p.proname::text,
       p.proowner, p.pronamespace, 'f', coalesce(p.proacl, acldefault('f', p.proowner))
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = 'stockfoil'
