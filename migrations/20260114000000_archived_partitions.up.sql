-- The partitions that were wholly closed with a period, so that one that goes is missed; and those whose entries were
-- brought forward, with the table that holds them since. Also run by hand of the commands that need it, so every statement
-- holds when it is there already.
-- Locks: takes only what it creates.

CREATE TABLE IF NOT EXISTS stockfoil.closing_partition (
    closing_id   bigint NOT NULL REFERENCES stockfoil.closing (id) ON DELETE CASCADE,
    -- Its oid, by which it is known whatever it is called.
    relation     bigint NOT NULL,
    schema_name  text NOT NULL,
    table_name   text NOT NULL,
    -- As ATTACH PARTITION takes them, and as a condition on its rows.
    bounds       text NOT NULL,
    condition    text NOT NULL,
    -- The time of its newest entry; none where none says one.
    newest_at    timestamptz,
    PRIMARY KEY (closing_id, relation)
);
COMMENT ON TABLE stockfoil.closing_partition IS 'One row a closing and partition of the ledger all of whose entries it closed.';

CREATE TABLE IF NOT EXISTS stockfoil.archived_partition (
    id              bigint PRIMARY KEY,
    -- The run, which goes from stockfoil.run in its time.
    run_id          bigint NOT NULL,
    role            text NOT NULL,
    schema_name     text NOT NULL,
    table_name      text NOT NULL,
    bounds          text NOT NULL,
    -- What the table that has its entries is called since; none where that was dropped before.
    archived_as     text,
    -- The table that has one entry a key in their place.
    replacement     bigint NOT NULL,
    -- A CHECK of the default partition while the two change places.
    fence           bigint,
    began_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- None while it is under way, or where that was interrupted: the next one throws the replacement away.
    archived_at     timestamptz,
    newest_at       timestamptz,
    -- How many keys and entries it had, and how many entries stand for them.
    keys            bigint NOT NULL DEFAULT 0,
    entries         bigint NOT NULL DEFAULT 0,
    brought_forward bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE stockfoil.archived_partition IS 'One row a partition of the ledger whose entries were brought forward: the sum of each key in one entry.';
CREATE SEQUENCE IF NOT EXISTS stockfoil.archived_partition_id_seq OWNED BY stockfoil.archived_partition.id;
ALTER TABLE stockfoil.archived_partition ALTER COLUMN id SET DEFAULT nextval('stockfoil.archived_partition_id_seq');
