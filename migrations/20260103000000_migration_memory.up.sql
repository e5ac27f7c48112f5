-- What the migrations changed in the application's schema, so that it can be put back, and how far a fill came.
-- Also run by hand of the commands that need it, so every statement holds when it is there already.
-- Locks: takes only what it creates.

CREATE SCHEMA IF NOT EXISTS stockfoil;

CREATE TABLE IF NOT EXISTS stockfoil.change (
    id          bigint PRIMARY KEY,
    command     text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('table', 'column', 'foreign_key', 'index', 'unique_key')),
    schema_name text NOT NULL,
    table_name  text NOT NULL,
    name        text NOT NULL,
    before      jsonb,
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (kind, schema_name, table_name, name)
);
COMMENT ON TABLE stockfoil.change IS 'One row an object that a migration made, altered or dropped: before is what it was, NULL where it was not there.';
CREATE SEQUENCE IF NOT EXISTS stockfoil.change_id_seq OWNED BY stockfoil.change.id;
ALTER TABLE stockfoil.change ALTER COLUMN id SET DEFAULT nextval('stockfoil.change_id_seq');

CREATE TABLE IF NOT EXISTS stockfoil.fill (
    schema_name text NOT NULL,
    table_name  text NOT NULL,
    position    text[] NOT NULL,
    rows        bigint NOT NULL,
    moved_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (schema_name, table_name)
);
COMMENT ON TABLE stockfoil.fill IS 'One row a table whose rows are being given to the default organization: position is the last primary key that was filled.';
