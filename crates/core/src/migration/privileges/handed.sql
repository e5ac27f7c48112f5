-- What default privileges gave of those of Stockfoil's own objects that are not recorded as closed ($1 is the
-- table of API keys): kind, object, to whom (none is everybody), and the rights. What an application may rely on by now and
-- harms nobody stays: reading balances and organizations, and the functions $3 that are for applications. $2 is the operations
-- role. Locks: none.
WITH own AS ({own})
SELECT o.kind, o.object, r.rolname::text AS grantee, array_agg(DISTINCT a.privilege_type) AS privileges
FROM own AS o
CROSS JOIN LATERAL aclexplode(o.acl) AS a
LEFT JOIN pg_roles AS r ON r.oid = a.grantee
WHERE a.grantee <> o.owner AND (a.grantee = 0 OR r.oid IS NOT NULL) AND r.rolname IS DISTINCT FROM $2::text
  AND NOT EXISTS (SELECT FROM stockfoil.change AS k
                  WHERE k.kind = 'grant' AND k.name = 'closed' AND (k.schema_name, k.table_name) = (o.schema_name, o.name)
                    -- One that was restored is no longer what was closed: default privileges may have given it away again. What
                    -- somebody granted by name is told from that by being less.
                    AND (k.before IS NULL OR k.before ? o.address OR EXISTS (
                        SELECT FROM pg_default_acl AS d, aclexplode(d.defaclacl) AS b
                        WHERE d.defaclrole = o.owner AND d.defaclobjtype::text = o.default_type AND d.defaclnamespace IN (0, o.namespace)
                          AND b.grantee = a.grantee
                          AND NOT EXISTS (SELECT FROM aclexplode(o.acl) AS h
                                          WHERE (h.grantee, h.privilege_type) = (b.grantee, b.privilege_type)))))
  AND EXISTS (SELECT FROM pg_default_acl AS d, aclexplode(d.defaclacl) AS b
              WHERE d.defaclrole = o.owner AND d.defaclobjtype::text = o.default_type AND d.defaclnamespace IN (0, o.namespace)
                AND (b.grantee, b.privilege_type) = (a.grantee, a.privilege_type))
  AND NOT (o.kind = 'schema' AND a.privilege_type = 'USAGE')
  AND NOT (o.kind = 'routine' AND o.name = ANY ($3::text[]))
  AND NOT (o.kind = 'table' AND a.privilege_type = 'SELECT' AND o.schema_name <> 'stockfoil' AND to_regclass(o.object) IS DISTINCT FROM to_regclass($1::text))
GROUP BY 1, 2, 3
ORDER BY 2, 3
