-- How many rows of organization $1 refer to rows that are put back, and are not put back themselves.
-- Locks: ACCESS SHARE, which stops no writer.
SELECT count(*)
FROM {parent_closure} AS pc
JOIN {parent} AS p ON {p.is_pc}
JOIN {table} AS t ON {t.refers_p}
WHERE t.{org} = $1::text::{org.type} AND NOT EXISTS (SELECT FROM {closure} AS c WHERE {t.is_c})
