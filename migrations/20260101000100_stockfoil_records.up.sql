-- Stockfoil's own records: what ran, what it found, how far a backfill came, which alerts are open.
-- Also run by hand of the commands that need it, so every statement holds when it is there already.
-- Locks: takes only what it creates.

CREATE SCHEMA IF NOT EXISTS stockfoil;

CREATE TABLE IF NOT EXISTS stockfoil.run (
    id          bigint PRIMARY KEY,
    command     text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    outcome     text CHECK (outcome IN ('clean', 'findings', 'failed')),
    summary     jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE stockfoil.run IS 'One row a run of a command; finished_at stays null where a run was killed.';
CREATE SEQUENCE IF NOT EXISTS stockfoil.run_id_seq OWNED BY stockfoil.run.id;
ALTER TABLE stockfoil.run ALTER COLUMN id SET DEFAULT nextval('stockfoil.run_id_seq');
CREATE INDEX IF NOT EXISTS run_command_started_at_idx ON stockfoil.run (command, started_at);

CREATE TABLE IF NOT EXISTS stockfoil.finding (
    id            bigint PRIMARY KEY,
    opened_run    bigint NOT NULL REFERENCES stockfoil.run (id),
    last_run      bigint NOT NULL REFERENCES stockfoil.run (id),
    closed_run    bigint REFERENCES stockfoil.run (id),
    kind          text NOT NULL CHECK (kind IN ('small', 'large', 'orphan', 'missing', 'not_a_number')),
    org_id        text NOT NULL,
    item_id       text NOT NULL,
    location_id   text NOT NULL,
    lot_id        text,
    ledger_qty    numeric,
    balance_qty   numeric,
    repaired      boolean NOT NULL DEFAULT false,
    opened_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at     timestamptz
);
COMMENT ON TABLE stockfoil.finding IS 'One row a difference between ledger and balance, from the run that saw it first to the run that no longer did.';
CREATE SEQUENCE IF NOT EXISTS stockfoil.finding_id_seq OWNED BY stockfoil.finding.id;
ALTER TABLE stockfoil.finding ALTER COLUMN id SET DEFAULT nextval('stockfoil.finding_id_seq');
CREATE UNIQUE INDEX IF NOT EXISTS finding_open_key
    ON stockfoil.finding (org_id, item_id, location_id, coalesce(lot_id, '')) WHERE closed_run IS NULL;

CREATE TABLE IF NOT EXISTS stockfoil.backfill (
    org_id      text PRIMARY KEY,
    run_id      bigint NOT NULL REFERENCES stockfoil.run (id),
    keys        bigint NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    exact_since timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE stockfoil.backfill IS 'One row an organization whose balances were backfilled and verified: exact_since by the first run, finished_at by the last.';

CREATE TABLE IF NOT EXISTS stockfoil.alert_state (
    source      text NOT NULL,
    key         text NOT NULL,
    severity    text NOT NULL,
    opened_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_sent_at timestamptz,
    PRIMARY KEY (source, key)
);
COMMENT ON TABLE stockfoil.alert_state IS 'One row an open problem, so that it is not sent again at every run.';
