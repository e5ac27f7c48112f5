-- The hash total of each organization's sealed sums, a control total as auditors use it: every key's sum times a number
-- made of the key, added up. With what is not sealed yet it is what balances must come to, and is known without reading
-- the sums.
-- Locks: takes only what it creates.
CREATE TABLE IF NOT EXISTS stockfoil.checkpoint_total (
    org         {org.type} PRIMARY KEY,
    hash_total  numeric NOT NULL,
    -- How many rows of stockfoil.checkpoint_sum it is of.
    sealed_rows bigint NOT NULL
)
