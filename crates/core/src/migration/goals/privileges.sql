-- Role $1 was granted itself each privilege of $2: a list in JSON of kind (table, sequence, schema,
-- function), object, privilege.
-- With $3 = 'none' it is there and holds one, or not: then it must hold none. Locks: none.
SELECT CASE $3 WHEN 'none' THEN count(*) FILTER (WHERE h.is_held) = 0
               ELSE EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AND count(*) FILTER (WHERE NOT h.is_held) = 0 END
FROM jsonb_to_recordset($2::jsonb) AS w (kind text, object text, privilege text)
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM aclexplode(CASE w.kind WHEN 'schema' THEN (SELECT n.nspacl FROM pg_namespace AS n WHERE n.nspname = w.object)
                                           WHEN 'function' THEN (SELECT p.proacl FROM pg_proc AS p WHERE p.oid = to_regproc(w.object))
                                           ELSE (SELECT c.relacl FROM pg_class AS c WHERE c.oid = to_regclass(w.object)) END) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE r.rolname = $1 AND a.privilege_type = w.privilege) AS is_held
) AS h
