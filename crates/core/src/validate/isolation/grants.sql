-- What the application's role and everybody were granted on the tables, on the sequences of their numbers, and on Stockfoil's
-- own. TRUNCATE knows no row-level security, REFERENCES and TRIGGER reach the rows of others; whoever sets a sequence back
-- (setval takes UPDATE) makes the inserts of others fail. Of sequences only what is too much is said. Locks: none.
WITH g AS ({given})
SELECT 'rights on ' || c.oid::regclass, public_has IS NULL AND too_many IS NULL,
       concat_ws('; ', CASE WHEN public_has IS NOT NULL THEN format('everybody (PUBLIC) has %s', public_has) END,
                 CASE WHEN too_many IS NOT NULL THEN format('%s has %s', g.app_name, too_many)
                      WHEN public_has IS NULL THEN format('%s has no more than %s', g.app_name, coalesce(nullif(t.allowed, ''), 'nothing')) END),
       concat_ws('; ', CASE WHEN public_has IS NOT NULL THEN format('REVOKE %s ON %s%s FROM PUBLIC', CASE WHEN t.is_sequence THEN public_has ELSE 'ALL' END, t.kind, c.oid::regclass) END,
                 CASE WHEN too_many IS NOT NULL THEN format('REVOKE %s ON %s%s FROM %I', too_many, t.kind, c.oid::regclass, g.app_name) END), NULL::text
FROM g
CROSS JOIN LATERAL (
    SELECT t.oid, t.allowed, false AS is_sequence, '' AS kind FROM unnest(g.tables, g.rights) AS t (oid, allowed)
    UNION ALL
    SELECT s.oid, 'USAGE,SELECT', true, 'SEQUENCE ' FROM unnest(g.sequences) AS s (oid)
    UNION ALL
    SELECT c.oid, '', false, '' FROM pg_class AS c WHERE c.relnamespace = to_regnamespace('stockfoil') AND c.relkind IN ('r', 'p', 'v', 'm')
      AND c.oid <> ALL (g.tables)
) AS t
JOIN pg_class AS c ON c.oid = t.oid
CROSS JOIN LATERAL (
    SELECT string_agg(DISTINCT a.privilege_type, ', ') AS public_has
    FROM (SELECT (aclexplode(c.relacl)).* UNION ALL
          SELECT (aclexplode(k.attacl)).* FROM pg_attribute AS k WHERE k.attrelid = c.oid AND k.attacl IS NOT NULL) AS a
    WHERE a.grantee = 0 AND NOT (t.is_sequence AND a.privilege_type = ANY (string_to_array(t.allowed, ',')))
) AS everybody
CROSS JOIN LATERAL (
    SELECT string_agg(p.privilege, ', ' ORDER BY p.place) AS too_many
    FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN']) WITH ORDINALITY AS p (privilege, place)
    WHERE p.privilege <> ALL (string_to_array(t.allowed, ','))
      AND EXISTS (SELECT FROM (SELECT (aclexplode(c.relacl)).* UNION ALL
                               SELECT (aclexplode(k.attacl)).* FROM pg_attribute AS k WHERE k.attrelid = c.oid AND k.attacl IS NOT NULL) AS a
                  WHERE a.grantee = g.app AND a.privilege_type = p.privilege)
      AND p.privilege <> ALL (coalesce(string_to_array(public_has, ', '), '{}'))
) AS application
WHERE NOT t.is_sequence OR public_has IS NOT NULL OR too_many IS NOT NULL
ORDER BY 1
