-- Marks the keys of entries that claim to be another transaction's: their place above the watermark is not certain.
-- Locks: nothing but the new marks.
    INSERT INTO stockfoil.dirty_key (org, item, location, lot)
    SELECT DISTINCT e.org, {e.item}, {e.location}, {e.lot}
    FROM (
{new_tx_entries}
    ) AS e
    WHERE e.tx IS DISTINCT FROM pg_current_xact_id()::text::bigint;
