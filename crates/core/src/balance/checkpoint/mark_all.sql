-- Marks everything: the ledger was emptied. Locks: nothing but the new mark.
    INSERT INTO stockfoil.dirty_key DEFAULT VALUES;
