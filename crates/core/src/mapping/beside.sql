-- The view of the mapping's SQL beside another table, as PostgreSQL prints it, and the columns of the row that it uses.
-- Locks: none beyond the catalog's own.
SELECT pg_get_viewdef(to_regclass('pg_temp.stockfoil_beside'), false),
       ARRAY(SELECT DISTINCT a.attname::text
             FROM pg_rewrite AS r
             JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
             JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             WHERE r.ev_class = to_regclass('pg_temp.stockfoil_beside') AND d.refclassid = 'pg_class'::regclass
               AND d.refobjid = to_regclass('pg_temp.stockfoil_row') AND d.refobjsubid > 0
             ORDER BY 1)
