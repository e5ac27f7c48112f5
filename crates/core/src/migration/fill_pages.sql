-- As the fill by primary key, for a table that has none: $1 holds the page to go on from, $2 is the number of pages.
-- Locks: the rows that it changes.
WITH filled AS (
    UPDATE {table} AS t SET {org} = {default}
    WHERE t.ctid >= format('(%s,0)', ($1::text[])[1]::bigint)::tid
      AND t.ctid < format('(%s,0)', ($1::text[])[1]::bigint + $2::bigint)::tid AND t.{org} IS NULL
    -- A trigger of the application's may keep the row as it was.
    RETURNING t.{org} IS NOT NULL AS is_filled
), counted AS (
    SELECT count(*) AS rows FROM filled WHERE is_filled
), moved AS (
    INSERT INTO stockfoil.fill AS f (schema_name, table_name, position, rows)
    SELECT $3, $4, ARRAY[(($1::text[])[1]::bigint + $2::bigint)::text], rows FROM counted
    ON CONFLICT (schema_name, table_name) DO UPDATE
    SET position = EXCLUDED.position, rows = f.rows + EXCLUDED.rows, moved_at = EXCLUDED.moved_at
    RETURNING position
)
SELECT position,
       CASE WHEN position[1]::bigint < pg_relation_size({relation_text}::regclass) / current_setting('block_size')::bigint THEN $2::bigint ELSE 0 END,
       rows
FROM moved, counted
