-- Marks the keys of the updated entries, before and after, whatever their age. Locks: nothing but the new marks.
    INSERT INTO stockfoil.dirty_key (org, item, location, lot)
    SELECT e.org, {e.item}, {e.location}, {e.lot}
    FROM (
{old_entries}
    ) AS e
    UNION
    SELECT e.org, {e.item}, {e.location}, {e.lot}
    FROM (
{new_entries}
    ) AS e;
