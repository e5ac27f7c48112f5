-- Table $1 and, where it is partitioned, all that it is made of: parents first. Locks: none beyond the catalog's own.
WITH part AS (
    SELECT to_regclass($1)::oid AS relid, NULL::oid AS parent, 0 AS level
    UNION ALL
    SELECT relid, parentrelid, level FROM pg_partition_tree(to_regclass($1)) WHERE level > 0
), numbered AS (
    SELECT part.*, n.nspname::text AS schema_name, c.relname::text AS table_name, c.relkind::text AS kind,
           row_number() OVER (ORDER BY level, n.nspname, c.relname) - 1 AS number
    FROM part
    JOIN pg_class AS c ON c.oid = part.relid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
)
SELECT p.schema_name, p.table_name, p.kind <> 'p' AS is_leaf, up.number AS parent
FROM numbered AS p
LEFT JOIN numbered AS up ON up.relid = p.parent
ORDER BY p.number
