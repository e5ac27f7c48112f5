-- The tables and views that are not PostgreSQL's or an extension's own; a partition shows as part of its table.
-- $1 is the organization column's name, $2 and $3 the schema and name of the table of organizations.
-- Locks: ACCESS SHARE on each table for the moment in which its size is read.
SELECT c.oid::int8 AS oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relkind::text AS kind,
       obj_description(c.oid, 'pg_class') AS comment,
       s.bytes,
       s.heap_bytes,
       s.rows_estimate,
       has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT') AS readable,
       row_security_active(c.oid) AS row_security,
       scope.attname::text AS scope_column,
       format_type(scope.atttypid, -1) AS scope_type
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute scope
    ON scope.attrelid = c.oid AND scope.attnum > 0 AND NOT scope.attisdropped
    AND scope.attname = CASE WHEN n.nspname = $2 AND c.relname = $3 THEN 'id' ELSE $1 END
CROSS JOIN LATERAL (
    SELECT coalesce(sum(pg_total_relation_size(leaf.oid)), 0)::int8 AS bytes,
           coalesce(sum(pg_relation_size(leaf.oid)), 0)::int8 AS heap_bytes,
           CASE WHEN bool_and(leaf.reltuples >= 0) THEN sum(leaf.reltuples::int8)::int8 END AS rows_estimate
    FROM pg_class leaf
    WHERE leaf.oid IN (
        SELECT c.oid WHERE c.relkind IN ('r', 'm')
        UNION ALL
        SELECT tree.relid FROM pg_partition_tree(c.oid) AS tree WHERE tree.isleaf
    )
) s
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND NOT c.relispartition
  AND n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\_%'
  AND NOT EXISTS (
      SELECT FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
  )
ORDER BY n.nspname, c.relname
