-- Closed periods, what each key's entries added up to when they were closed, and findings of what was entered into them later.
-- A key may have one of these open beside its other findings. Also run by hand of the commands that need it, so every
-- statement holds when it is there already.
-- Locks: ACCESS EXCLUSIVE on stockfoil.finding while its rows are checked and indexed; only Stockfoil writes it.

CREATE TABLE IF NOT EXISTS stockfoil.closing (
    id                bigint PRIMARY KEY,
    -- The run, which goes from stockfoil.run in its time.
    run_id            bigint NOT NULL,
    -- Entries before this time are closed.
    closed_before     timestamptz NOT NULL,
    closed_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    role              text NOT NULL,
    -- Which transactions were over, in which cluster: entries of others were made later.
    transactions      text NOT NULL,
    system_identifier text NOT NULL,
    -- A digest of the SQL by which entries were read.
    mapping           text NOT NULL
);
COMMENT ON TABLE stockfoil.closing IS 'One row a closing of the ledger up to a time; the newest holds.';
CREATE SEQUENCE IF NOT EXISTS stockfoil.closing_id_seq OWNED BY stockfoil.closing.id;
ALTER TABLE stockfoil.closing ALTER COLUMN id SET DEFAULT nextval('stockfoil.closing_id_seq');

CREATE TABLE IF NOT EXISTS stockfoil.closing_balance (
    closing_id  bigint NOT NULL REFERENCES stockfoil.closing (id) ON DELETE CASCADE,
    org_id      text NOT NULL,
    item_id     text NOT NULL,
    location_id text NOT NULL,
    -- An empty lot is none.
    lot_id      text NOT NULL,
    quantity    numeric NOT NULL,
    -- Count and hash tell changes that cancel out.
    entries     bigint NOT NULL,
    hash        bigint NOT NULL,
    PRIMARY KEY (closing_id, org_id, item_id, location_id, lot_id)
);
COMMENT ON TABLE stockfoil.closing_balance IS 'One row a key and closing: what the closed entries added up to, how many there were, and a hash of them.';

ALTER TABLE stockfoil.finding
    DROP CONSTRAINT IF EXISTS finding_kind_check,
    ADD CONSTRAINT finding_kind_check
        CHECK (kind IN ('small', 'large', 'orphan', 'missing', 'not_a_number', 'changed_history', 'negative', 'backdated'));
COMMENT ON TABLE stockfoil.finding IS 'One row a difference between ledger and balance, a change of sealed entries, a balance below zero, or a change of closed entries, from the run that saw it first to the run that no longer did.';

DROP INDEX IF EXISTS stockfoil.finding_open_key_sort;
CREATE UNIQUE INDEX IF NOT EXISTS finding_open_key_of_sort
    ON stockfoil.finding (org_id, item_id, location_id, coalesce(lot_id, ''),
                          (CASE WHEN kind IN ('changed_history', 'negative', 'backdated') THEN kind ELSE 'difference' END))
    WHERE closed_run IS NULL;
