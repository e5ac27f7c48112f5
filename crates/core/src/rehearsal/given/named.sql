-- Those of the settings $1 that are an application's own, as a new session has them: names and values. Locks: none.
SELECT n.name, current_setting(n.name, true)
FROM unnest($1::text[]) AS n (name)
WHERE n.name LIKE '%.%' AND current_setting(n.name, true) <> ''
ORDER BY n.name
