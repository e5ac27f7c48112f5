-- How many of the rows that move from organization $1 mention a person outside organization $2.
-- Locks: ACCESS SHARE, which stops no writer.
SELECT count(*)
FROM {closure} AS c
JOIN {table} AS t ON {t.is_c}
JOIN {parent} AS p ON {t.refers_p}
WHERE NOT c.shared AND c.org = $1 AND p.{org} IS DISTINCT FROM $2::text::{org.type}
