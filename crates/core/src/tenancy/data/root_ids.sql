-- The rows of organizations $2 whose keys are $1. Locks: ACCESS SHARE, which stops no writer.
INSERT INTO {closure} ({closure_keys}, org, follows)
SELECT {t.keys}, t.{org}::text, true
FROM (SELECT {keys_from_id} FROM unnest($1::text[]) AS i (id)) AS c ({closure_keys})
JOIN {table} AS t ON {t.is_c}
WHERE t.{org} = ANY ($2::text[]::{org.type}[])
ON CONFLICT ({closure_keys}) DO NOTHING
