-- Every type that a column can have, with what is needed to see through domains and arrays, and enums' labels.
-- Locks: none but those of reading the catalog.
SELECT t.oid, n.nspname::text AS schema_name, t.typname::text AS type_name, t.typtype::text AS kind,
       t.typbasetype AS base_oid, t.typtypmod AS base_modifier,
       coalesce((SELECT e.oid FROM pg_catalog.pg_type e WHERE e.typarray = t.oid), 0::oid) AS element_oid,
       coalesce((SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder)
                 FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid), '{}') AS labels,
       obj_description(t.oid, 'pg_type') AS comment,
       n.nspname = ANY ($1) AND NOT EXISTS (
           SELECT FROM pg_catalog.pg_depend d
           WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e') AS wanted
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype IN ('b', 'd', 'e', 'r', 'm', 'c')
