-- The shared rows of a table by the rows that refer to them by one key: how many would move to organization $1 or are
-- there, and how many stay. Locks: ACCESS SHARE, which stops no writer.
SELECT {p.key_text} AS key, {p.label} AS label,
       count(*) FILTER (WHERE t.{org} IS NOT DISTINCT FROM $1::text::{org.type} OR NOT c.shared) AS moving,
       count(*) FILTER (WHERE t.{org} IS DISTINCT FROM $1::text::{org.type} AND (NOT c.shared) IS NOT TRUE) AS staying
FROM {parent_closure} AS pc
JOIN {parent} AS p ON {p.is_pc}
JOIN {table} AS t ON {t.refers_p}
LEFT JOIN {closure} AS c ON {t.is_c}
WHERE pc.shared AND {uncopied}
GROUP BY 1, 2
ORDER BY 2, 1
