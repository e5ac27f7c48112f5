-- The columns that name one row of relation $1: its primary key, else a unique key without NULLs or conditions.
-- Locks: none.
SELECT a.attname::text
FROM (
    SELECT i.indrelid, i.indkey, i.indnkeyatts
    FROM pg_index i
    WHERE i.indrelid = $1::oid
      AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (
          SELECT FROM generate_series(0, i.indnkeyatts - 1) AS place
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[place]
          WHERE (NOT a.attnotnull
                 -- From PostgreSQL 18 on it may be NOT VALID, and rows from before it NULL.
                 OR EXISTS (SELECT FROM pg_constraint AS n WHERE n.contype = 'n' AND n.conrelid = a.attrelid AND a.attnum = ANY (n.conkey) AND NOT n.convalidated))
      )
    ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid
    LIMIT 1
) key
CROSS JOIN LATERAL generate_series(0, key.indnkeyatts - 1) AS place
JOIN pg_attribute a ON a.attrelid = key.indrelid AND a.attnum = key.indkey[place]
ORDER BY place
