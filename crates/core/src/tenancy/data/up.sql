-- The rows of organizations $2 that those found from wave $1 on refer to; they are of wave $3.
-- Locks: ACCESS SHARE, which stops no writer.
INSERT INTO {parent_closure} ({parent_keys}, org, wave)
SELECT DISTINCT {p.keys}, p.{org}::text, $3::int4
FROM {closure} AS c
JOIN {table} AS t ON {t.is_c}
JOIN {parent} AS p ON {t.refers_p}
WHERE c.wave >= $1 AND p.{org} = ANY ($2::text[]::{org.type}[])
ON CONFLICT ({parent_keys}) DO NOTHING
