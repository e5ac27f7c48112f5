-- Each attribute's type below its domains, and whether equal values of it, under the attribute's collation, have one image and so
-- one text: what a B-tree asks too before it merges duplicates. Locks: none beyond the catalog's own.
SELECT a.attrelid, a.attnum, base.type_name AS base_type,
       EXISTS (
           SELECT FROM pg_opclass AS o
           JOIN pg_am AS m ON m.oid = o.opcmethod AND m.amname = 'btree'
           JOIN pg_amproc AS p ON p.amprocfamily = o.opcfamily AND p.amprocnum = 4
                              AND (p.amproclefttype, p.amprocrighttype) = (o.opcintype, o.opcintype)
           WHERE o.opcdefault
             AND o.opcintype = CASE WHEN base.is_enum THEN 'anyenum'::regtype
                                    WHEN base.oid = 'character varying'::regtype THEN 'text'::regtype ELSE base.oid END)
       AND NOT EXISTS (SELECT FROM pg_collation AS c WHERE c.oid = a.attcollation AND NOT c.collisdeterministic) AS has_one_text
FROM pg_attribute AS a
CROSS JOIN LATERAL (
    WITH RECURSIVE below (oid, is_domain, base, typmod) AS (
        SELECT t.oid, t.typtype = 'd', t.typbasetype, a.atttypmod FROM pg_type t WHERE t.oid = a.atttypid
        UNION ALL
        SELECT t.oid, t.typtype = 'd', t.typbasetype, d.typtypmod
        FROM below JOIN pg_type d ON d.oid = below.oid JOIN pg_type t ON t.oid = below.base
        WHERE below.is_domain)
    SELECT b.oid, format_type(b.oid, b.typmod) AS type_name, t.typtype = 'e' AS is_enum
    FROM below AS b JOIN pg_type AS t ON t.oid = b.oid
    WHERE NOT b.is_domain
) AS base
