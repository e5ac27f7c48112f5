-- The columns of relation $1, each with the operators that its type is ordered by, if it is: those of the
-- type's default B-tree operator class, found as PostgreSQL itself finds it. Locks: none.
SELECT a.attname::text AS name,
       format_type(a.atttypid, a.atttypmod) AS type_name,
       format_type(base.oid, -1) AS base_type,
       base.typcategory::text AS category,
       base.oid IN ('jsonb'::regtype, 'json'::regtype) AS is_json,
       a.attnotnull AS not_null,
       CASE
           WHEN a.attidentity <> '' THEN 'identity'
           WHEN a.attgenerated <> '' THEN 'generated: ' || pg_get_expr(d.adbin, d.adrelid)
           ELSE pg_get_expr(d.adbin, d.adrelid)
       END AS default_value,
       col_description(a.attrelid, a.attnum) AS comment,
       has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS readable,
       operators.less,
       operators.less_equal,
       operators.equal,
       operators.greater_equal,
       operators.greater
FROM pg_attribute a
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
CROSS JOIN LATERAL (
    WITH RECURSIVE chain AS (
        SELECT t.oid, t.typtype, t.typbasetype, t.typcategory FROM pg_type t WHERE t.oid = a.atttypid
        UNION ALL
        SELECT t.oid, t.typtype, t.typbasetype, t.typcategory
        FROM chain JOIN pg_type t ON t.oid = chain.typbasetype
        WHERE chain.typtype = 'd'
    )
    SELECT oid, typtype, typcategory FROM chain WHERE typtype <> 'd'
) base
LEFT JOIN LATERAL (
    SELECT c.opcfamily, c.opcintype
    FROM pg_opclass c
    JOIN pg_am am ON am.oid = c.opcmethod AND am.amname = 'btree'
    JOIN pg_type t ON t.oid = c.opcintype
    WHERE c.opcdefault
      AND (c.opcintype = base.oid
           OR base.typtype = 'e' AND c.opcintype = 'anyenum'::regtype
           OR base.typtype = 'r' AND c.opcintype = 'anyrange'::regtype
           OR base.typtype = 'm' AND c.opcintype = 'anymultirange'::regtype
           OR EXISTS (
               SELECT FROM pg_cast
               WHERE castsource = base.oid AND casttarget = c.opcintype AND castmethod = 'b' AND castcontext = 'i'
           ))
    ORDER BY c.opcintype = base.oid DESC, t.typispreferred DESC, c.oid
    LIMIT 1
) class ON true
CROSS JOIN LATERAL (
    SELECT max(operator) FILTER (WHERE strategy = 1) AS less,
           max(operator) FILTER (WHERE strategy = 2) AS less_equal,
           max(operator) FILTER (WHERE strategy = 3) AS equal,
           max(operator) FILTER (WHERE strategy = 4) AS greater_equal,
           max(operator) FILTER (WHERE strategy = 5) AS greater
    FROM (
        SELECT o.amopstrategy AS strategy, format('OPERATOR(%I.%s)', n.nspname, p.oprname) AS operator
        FROM pg_amop o
        JOIN pg_operator p ON p.oid = o.amopopr
        JOIN pg_namespace n ON n.oid = p.oprnamespace
        WHERE o.amopfamily = class.opcfamily
          AND o.amoplefttype = class.opcintype
          AND o.amoprighttype = class.opcintype
    ) found
) operators
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
