-- Which rows users-assign and data-assign gave to another organization, so that it can be told, gone on with and taken
-- back. Also run by hand of the commands that need it, so every statement holds when it is there already.
-- Locks: takes only what it creates.

CREATE TABLE IF NOT EXISTS stockfoil.move (
    id          bigint PRIMARY KEY,
    run_id      bigint NOT NULL REFERENCES stockfoil.run (id),
    schema_name text NOT NULL,
    table_name  text NOT NULL,
    from_org    text,
    to_org      text NOT NULL,
    keys        text[] NOT NULL CHECK (cardinality(keys) > 0),
    copies      text[],
    moved_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    undone_run  bigint,
    CONSTRAINT move_copies_check CHECK (cardinality(copies) = cardinality(keys))
);
COMMENT ON TABLE stockfoil.move IS 'One row a batch of rows that a run gave to another organization: keys are their primary keys (a JSON array of texts where they have several columns). Where copies is set, the rows stayed and these are the keys of their copies. undone_run is the run that took it back.';
CREATE SEQUENCE IF NOT EXISTS stockfoil.move_id_seq OWNED BY stockfoil.move.id;
ALTER TABLE stockfoil.move ALTER COLUMN id SET DEFAULT nextval('stockfoil.move_id_seq');
CREATE INDEX IF NOT EXISTS move_run_id_idx ON stockfoil.move (run_id);
CREATE INDEX IF NOT EXISTS move_copies_idx ON stockfoil.move (to_org, schema_name, table_name) WHERE copies IS NOT NULL;
