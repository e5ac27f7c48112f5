-- Statements that give a copy of this database those of the settings $1 that are an application's own, as a new session has
-- them. Locks: none.
SELECT format('ALTER DATABASE %I SET %s TO %L', current_database(),
              (SELECT string_agg(quote_ident(part), '.' ORDER BY place)
               FROM unnest(string_to_array(n.name, '.')) WITH ORDINALITY AS p (part, place)),
              current_setting(n.name, true))
FROM unnest($1::text[]) AS n (name)
WHERE n.name LIKE '%.%' AND current_setting(n.name, true) <> ''
ORDER BY n.name
