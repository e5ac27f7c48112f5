-- Marks the rows of the selection and below it that a row outside organizations $1 refers to.
-- Locks: ACCESS SHARE, which stops no writer.
UPDATE {parent_closure} AS pc
SET shared = true
FROM {parent} AS p
JOIN {table} AS t ON {t.refers_p}
WHERE {p.is_pc} AND pc.follows AND (t.{org} = ANY ($1::text[]::{org.type}[])) IS NOT TRUE
