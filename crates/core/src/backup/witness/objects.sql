-- What pg_dump makes beside the rows of tables, PostgreSQL's and extensions' own aside: its kind, the schema and name of the
-- table that it belongs to (of itself, where it belongs to none), and what pg_dump calls it. Indexes of constraints are
-- theirs, and what partitions and partitioned tables have of their parents comes with these.
-- Locks: none.
WITH relation AS (
    SELECT c.oid, c.relkind, n.nspname, c.relname
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), object (kind, nspname, relname, name) AS (
    SELECT CASE k.contype WHEN 'f' THEN 'FK CONSTRAINT' ELSE 'CONSTRAINT' END, r.nspname, r.relname,
           r.relname || ' ' || k.conname
    FROM pg_catalog.pg_constraint AS k
    JOIN relation AS r ON r.oid = k.conrelid
    WHERE k.contype IN ('p', 'u', 'x') OR (k.contype = 'f' AND k.conparentid = 0)
    UNION ALL
    SELECT 'INDEX', r.nspname, r.relname, c.relname
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    JOIN relation AS r ON r.oid = i.indrelid
    WHERE i.indisvalid AND i.indisready
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k
                      WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 'TRIGGER', r.nspname, r.relname, r.relname || ' ' || t.tgname
    FROM pg_catalog.pg_trigger AS t
    JOIN relation AS r ON r.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgparentid = 0
    UNION ALL
    SELECT 'POLICY', r.nspname, r.relname, r.relname || ' ' || p.polname
    FROM pg_catalog.pg_policy AS p
    JOIN relation AS r ON r.oid = p.polrelid
    UNION ALL
    SELECT CASE r.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE 'MATERIALIZED VIEW' END,
           r.nspname, coalesce(owner.relname, r.relname), r.relname
    FROM relation AS r
    -- The sequence of a column goes with its table.
    LEFT JOIN LATERAL (
        SELECT o.relname
        FROM pg_catalog.pg_depend AS d
        JOIN relation AS o ON o.oid = d.refobjid AND o.nspname = r.nspname
        WHERE r.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = r.oid
          AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
        LIMIT 1
    ) AS owner ON true
    WHERE r.relkind IN ('S', 'v', 'm')
    UNION ALL
    SELECT 'EXTENSION', '', e.extname, e.extname
    FROM pg_catalog.pg_extension AS e
    WHERE e.oid >= 16384
)
SELECT kind::text, nspname::text, relname::text, name::text FROM object
