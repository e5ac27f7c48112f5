-- Stockfoil's own applied versions, apart from the table that sqlx shares out to every application in the database.
-- Also made before the first version is applied, so every statement holds when it is there already.
-- Locks: takes only what it creates.

CREATE TABLE IF NOT EXISTS stockfoil.migration (
    version     bigint PRIMARY KEY,
    description text NOT NULL,
    -- SHA-384 of the file.
    checksum    bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by text,
    duration_ms bigint CHECK (duration_ms >= 0)
);
COMMENT ON TABLE stockfoil.migration IS 'One row an applied version of Stockfoil''s own; duration_ms is null where it was recorded and not run, recorded_by where an earlier release recorded it.';
