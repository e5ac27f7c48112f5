-- The one expression of the index, as PostgreSQL prints it, its type, and the type below its domains.
-- Locks: none beyond the catalog's own.
SELECT pg_get_indexdef(i.indexrelid, 1, false) AS text,
       format_type(a.atttypid, -1) AS type_name,
       (WITH RECURSIVE below (oid, is_domain, base, typmod) AS (
            SELECT t.oid, t.typtype = 'd', t.typbasetype, a.atttypmod FROM pg_type t WHERE t.oid = a.atttypid
            UNION ALL
            SELECT t.oid, t.typtype = 'd', t.typbasetype, d.typtypmod
            FROM below JOIN pg_type d ON d.oid = below.oid JOIN pg_type t ON t.oid = below.base
            WHERE below.is_domain)
        SELECT format_type(oid, typmod) FROM below WHERE NOT is_domain) AS base_type
FROM pg_index i
JOIN pg_attribute a ON a.attrelid = to_regclass('pg_temp.stockfoil_value') AND a.attnum = 1
WHERE i.indexrelid = to_regclass('pg_temp.stockfoil_value_idx')
  AND i.indnatts = 1 AND i.indpred IS NULL
  AND (SELECT count(*) FROM pg_attribute c WHERE c.attrelid = a.attrelid AND c.attnum > 0) = 1
