-- The rows of organizations $2 that a condition with the literals $1 selects. Locks: ACCESS SHARE, which stops no writer.
INSERT INTO {closure} ({closure_keys}, org, follows)
SELECT {t.keys}, t.{org}::text, true
FROM {table} AS t
WHERE t.{org} = ANY ($2::text[]::{org.type}[]) AND $1::text[] IS NOT NULL AND ({condition})
ON CONFLICT ({closure_keys}) DO NOTHING
