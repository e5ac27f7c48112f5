-- The balances: one row a key, written by the ledger's triggers and by drift repair.
-- Locks: SHARE ROW EXCLUSIVE on organizations for the foreign key, for a moment; takes else only what it creates.
CREATE TABLE {balances} (
    {org} {org.type} NOT NULL REFERENCES {organizations} (id) ON DELETE CASCADE,
    {item} {item.type} NOT NULL,
    {place_and_lot}
    -- Without a scale, so that no sum overflows. What is not a number would stay so for ever: NaN - NaN is NaN.
    {balances.quantity} numeric NOT NULL CHECK ({balances.quantity} > '-Infinity' AND {balances.quantity} < 'Infinity'),
    {last}
    PRIMARY KEY ({key})
) WITH (fillfactor = 70)
