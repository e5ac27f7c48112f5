-- What the ledger ($1), its partitions and children are kept in, and the balances ($2), each as its oid, its file, and what
-- made it a part of its parent, and the values of the enums that its columns are of; and what keeps the balances, each as
-- its oid and the transaction that changed it last. So what was dropped and restored, swapped, emptied, detached, renamed in
-- its values, or switched off and on again is another than it was, though its name is the same.
-- Locks: nothing but the catalog's own.
WITH RECURSIVE ledger AS (
    SELECT to_regclass($1)::oid AS oid, '0' AS joined
    UNION ALL
    SELECT i.inhrelid, i.xmin::text
    FROM ledger AS l
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent = l.oid
), keeper AS (
    SELECT t.oid, t.xmin::text AS changed, t.tgfoid
    FROM ledger AS l
    JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = l.oid
    JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = to_regnamespace('stockfoil')
)
SELECT ARRAY(SELECT concat_ws(':', oid, coalesce(pg_relation_filenode(oid), 0), joined) FROM ledger
             UNION SELECT concat_ws(':', 'balances', to_regclass($2)::oid, coalesce(pg_relation_filenode(to_regclass($2)), 0))
             UNION SELECT concat_ws(':', 'enum', e.enumtypid, e.oid, e.enumlabel)
                   FROM pg_catalog.pg_attribute AS a
                   JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
                   JOIN pg_catalog.pg_enum AS e ON e.enumtypid IN (t.oid, t.typbasetype)
                   WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY 1) AS sources,
       ARRAY(SELECT concat_ws(':', oid, changed) FROM keeper
             UNION SELECT concat_ws(':', 'function', p.oid, p.xmin::text) FROM pg_catalog.pg_proc AS p
                   WHERE p.oid IN (SELECT tgfoid FROM keeper)
             ORDER BY 1) AS keepers
