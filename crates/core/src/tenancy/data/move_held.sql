-- Gives the entries that were put aside to organization $1, and puts their keys aside as they are then.
-- Locks: those entries, which are locked already.
WITH batch AS (
    DELETE FROM pg_temp.stockfoil_batch RETURNING *
), moved AS (
    UPDATE {table} AS t
    SET {org} = $1::text::{org.type}{repoint}
    FROM batch AS c
    WHERE {t.is_c}
    RETURNING {t.keys}
)
INSERT INTO pg_temp.stockfoil_batch SELECT * FROM moved
