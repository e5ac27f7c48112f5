-- Gives the rows of the next batch in primary key order that lack an organization to the default one, and notes how
-- far that came. $1 is the position to go on from, $2 the number of rows to look at, $3 and $4 schema and table.
-- Locks: the rows that it changes.
WITH batch AS MATERIALIZED (
    SELECT {fill_key} FROM {table} WHERE {after} ORDER BY {fill_key} LIMIT $2::bigint
), filled AS (
    UPDATE {table} AS t SET {org} = {default} FROM batch AS b WHERE {same_key} AND t.{org} IS NULL
    -- A trigger of the application's may keep the row as it was.
    RETURNING t.{org} IS NOT NULL AS is_filled
), counted AS (
    SELECT (SELECT count(*) FROM batch) AS seen, (SELECT count(*) FROM filled WHERE is_filled) AS rows
), moved AS (
    INSERT INTO stockfoil.fill AS f (schema_name, table_name, position, rows)
    SELECT $3, $4, ARRAY[{key_texts}], rows FROM (SELECT * FROM batch ORDER BY {fill_last} LIMIT 1) AS b, counted
    ON CONFLICT (schema_name, table_name) DO UPDATE
    SET position = EXCLUDED.position, rows = f.rows + EXCLUDED.rows, moved_at = EXCLUDED.moved_at
    RETURNING position
)
SELECT (SELECT position FROM moved), seen, rows FROM counted WHERE coalesce($1::text[], '{}') IS NOT NULL
