-- The balances: one row a key, written by the ledger's triggers and by drift repair.
-- Locks: SHARE ROW EXCLUSIVE on organizations for the foreign key, for a moment; takes else only what it creates.
CREATE TABLE {balances} (
    {org}          text NOT NULL REFERENCES {organizations} (id) ON DELETE CASCADE,
    item_id        text NOT NULL,
    location_id    text NOT NULL,
    lot_id         text CHECK (lot_id <> ''),
    lot_key        text NOT NULL GENERATED ALWAYS AS (coalesce(lot_id, '')) STORED,
    -- Without a scale, so that no sum overflows. What is not a number would stay so for ever: NaN - NaN is NaN.
    qty_canonical  numeric NOT NULL CHECK (qty_canonical > '-Infinity' AND qty_canonical < 'Infinity'),
    last_ledger_id text,
    last_updated   timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY ({org}, item_id, location_id, lot_key)
) WITH (fillfactor = 70)
