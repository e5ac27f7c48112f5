-- Marks the keys of the deleted entries, whatever their age. Locks: nothing but the new marks.
    INSERT INTO stockfoil.dirty_key (org, item, location, lot)
    SELECT DISTINCT e.org, {e.item}, {e.location}, {e.lot}
    FROM (
{old_entries}
    ) AS e;
