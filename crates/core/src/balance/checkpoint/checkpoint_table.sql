-- What a reconciliation sealed of the ledger: how far, in which cluster, and whose history comes next.
-- Locks: takes only what it creates.
CREATE TABLE IF NOT EXISTS stockfoil.checkpoint (
    ledger            text PRIMARY KEY,
    -- Every transaction below it had ended.
    watermark         bigint NOT NULL,
    -- Transaction ids start again in another cluster.
    system_identifier text NOT NULL,
    round             integer NOT NULL,
    run_id            bigint NOT NULL,
    sealed_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- A digest of the SQL by which entries and balances were read.
    mapping           text,
    -- The tables that were read, and the triggers that mark what changes, as they were.
    sources           text[],
    keepers           text[]
)
