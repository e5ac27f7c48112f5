-- What others than their owners may do with those of Stockfoil's own objects that were not there before ($1, their
-- addresses): kind, object, whose right (none is everybody's), and the rights. Locks: none.
WITH own AS ({own})
SELECT o.kind, o.object, r.rolname::text AS grantee, array_agg(DISTINCT a.privilege_type) AS privileges
FROM own AS o
CROSS JOIN LATERAL aclexplode(o.acl) AS a
LEFT JOIN pg_roles AS r ON r.oid = a.grantee
WHERE a.grantee <> o.owner AND o.address <> ALL ($1::text[]) AND (a.grantee = 0 OR r.oid IS NOT NULL)
GROUP BY 1, 2, 3
ORDER BY 2, 3
