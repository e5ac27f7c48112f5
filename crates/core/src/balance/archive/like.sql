-- What makes the table $2 like $1 beyond its columns, constraints and indexes, in the order of `stage`: before it is filled (1) the
-- defaults that entries get through the ledger $3, and after it (2) their end, and then (3) its owner, options, rights, policies
-- and replica identity; and (4) its foreign keys.
-- Locks: nothing but the catalog's own.
WITH given AS (
    SELECT a.attname,
           CASE WHEN a.attidentity = '' THEN pg_get_expr(d.adbin, d.adrelid)
                ELSE format('nextval(%L::regclass)', pg_get_serial_sequence($3, a.attname)) END AS value
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_attribute AS m ON m.attrelid = to_regclass($2) AND m.attname = a.attname AND NOT m.atthasdef
    LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = to_regclass($3) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
      AND (a.attidentity <> '' OR a.atthasdef)
), source AS (
    SELECT c.*, pg_get_userbyid(c.relowner) AS owner FROM pg_catalog.pg_class AS c WHERE c.oid = $1::bigint::oid
), role AS (
    SELECT r.oid, quote_ident(r.rolname) AS name FROM pg_catalog.pg_roles AS r
    UNION ALL
    SELECT 0, 'PUBLIC'
)
SELECT 1 AS stage, format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', $2, attname, value) FROM given
UNION ALL
SELECT 2, format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', $2, attname) FROM given
UNION ALL
SELECT 3, format('REVOKE ALL ON %s FROM %s', $2, r.name)
FROM pg_catalog.pg_class AS c
CROSS JOIN aclexplode(c.relacl) AS g
JOIN role AS r ON r.oid = g.grantee
WHERE c.oid = to_regclass($2) AND g.grantee <> c.relowner
GROUP BY r.name
UNION ALL
SELECT 4, format('ALTER TABLE %s SET (%s)', $2, string_agg(format('%I = %L', o.option_name, o.option_value), ', '))
FROM source AS s CROSS JOIN pg_options_to_table(s.reloptions) AS o
HAVING count(*) > 0
UNION ALL
SELECT 5, format('GRANT %s ON %s TO %s%s', g.privilege_type, $2, r.name,
                 CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM source AS s CROSS JOIN aclexplode(s.relacl) AS g
JOIN role AS r ON r.oid = g.grantee
WHERE g.grantee <> s.relowner
UNION ALL
SELECT 5, format('GRANT %s (%I) ON %s TO %s%s', g.privilege_type, a.attname, $2, r.name,
                 CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM source AS s
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN aclexplode(a.attacl) AS g
JOIN role AS r ON r.oid = g.grantee
UNION ALL
SELECT 6, format('ALTER TABLE %s %s ROW LEVEL SECURITY', $2, w.word)
FROM source AS s CROSS JOIN (VALUES ('ENABLE'), ('FORCE')) AS w (word)
WHERE CASE w.word WHEN 'ENABLE' THEN s.relrowsecurity ELSE s.relforcerowsecurity END
UNION ALL
SELECT 6, format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, $2,
                 CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                 CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                 (SELECT string_agg(r.name, ', ') FROM role AS r WHERE r.oid = ANY (p.polroles)),
                 ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
                 ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM source AS s
JOIN pg_catalog.pg_policy AS p ON p.polrelid = s.oid
UNION ALL
SELECT 7, format('ALTER TABLE %s REPLICA IDENTITY %s', $2,
                 CASE s.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE 'USING INDEX ' || (
                     SELECT quote_ident(min(c.relname))
                     FROM pg_catalog.pg_index AS old
                     JOIN pg_catalog.pg_index AS new ON new.indrelid = to_regclass($2) AND new.indisunique
                     JOIN pg_catalog.pg_class AS c ON c.oid = new.indexrelid
                     WHERE old.indrelid = s.oid AND old.indisreplident
                       AND substring(pg_get_indexdef(old.indexrelid) FROM ' USING .*')
                           = substring(pg_get_indexdef(new.indexrelid) FROM ' USING .*')) END)
FROM source AS s
WHERE s.relreplident <> 'd'
UNION ALL
SELECT 8, format('ALTER TABLE %s OWNER TO %I', $2, s.owner)
FROM source AS s
JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass($2) AND c.relowner <> s.relowner
UNION ALL
SELECT 9, format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2, k.conname, pg_get_constraintdef(k.oid))
FROM source AS s
JOIN pg_catalog.pg_constraint AS k ON k.conrelid = s.oid AND k.contype = 'f'
LEFT JOIN pg_catalog.pg_constraint AS parent ON parent.oid = k.conparentid AND parent.conrelid = k.conrelid
WHERE parent.oid IS NULL
ORDER BY 1, 2
