-- An empty table of rows of a tenant table: their keys, their organization, whether they were followed downwards from the
-- selection, whether they stay, when they were found, their number among those that move, and what undoing needs.
-- Locks: nothing but a temporary table.
CREATE TEMPORARY TABLE {closure} AS
SELECT {named_keys}, t.{org}::text AS org, false AS follows, false AS shared, 0 AS wave, NULL::bigint AS n,
       NULL::bigint AS move_id
FROM {table} AS t
WHERE false
