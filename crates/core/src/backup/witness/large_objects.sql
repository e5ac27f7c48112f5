-- How many large objects there are.
-- Locks: none.
SELECT count(*) FROM pg_catalog.pg_largeobject_metadata
