-- How many rows of the table point at a row of another organization, and one such pair of organizations.
-- Locks: ACCESS SHARE on both tables, which it reads whole.
SELECT count(*), min(t.{org}::text || ' at ' || r.{org}::text)
FROM {table} AS t JOIN {referenced} AS r ON {same_row}
WHERE t.{org} <> r.{org}
