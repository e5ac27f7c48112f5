-- The columns of table $1: type, the type below its domains, its scale where it is a numeric with one.
-- Locks: none beyond the catalog's own.
SELECT a.attname::text AS name,
       format_type(a.atttypid, -1) AS type_name,
       (WITH RECURSIVE below (oid, is_domain, base, typmod) AS (
            SELECT t.oid, t.typtype = 'd', t.typbasetype, a.atttypmod FROM pg_type t WHERE t.oid = a.atttypid
            UNION ALL
            SELECT t.oid, t.typtype = 'd', t.typbasetype, d.typtypmod
            FROM below JOIN pg_type d ON d.oid = below.oid JOIN pg_type t ON t.oid = below.base
            WHERE below.is_domain)
        SELECT format_type(oid, typmod) FROM below WHERE NOT is_domain) AS base_type,
       a.attnotnull OR EXISTS (SELECT FROM pg_type d WHERE d.oid = a.atttypid AND d.typtype = 'd' AND d.typnotnull) AS is_not_null,
       a.attgenerated <> '' AS is_generated,
       a.atthasdef OR a.attidentity <> '' AS has_default
FROM pg_attribute a
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
