-- The rows of organizations $2 that refer to those found in wave $1. Locks: ACCESS SHARE, which stops no writer.
INSERT INTO {closure} ({closure_keys}, org, follows, wave)
SELECT {t.keys}, t.{org}::text, true, $1 + 1
FROM {parent_closure} AS pc
JOIN {parent} AS p ON {p.is_pc}
JOIN {table} AS t ON {t.refers_p}
WHERE pc.wave = $1 AND t.{org} = ANY ($2::text[]::{org.type}[])
ON CONFLICT ({closure_keys}) DO NOTHING
