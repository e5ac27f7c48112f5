-- The postings that come (direction 1) and those that go (-1).
-- Locks: nothing but a trigger's rows.
SELECT 1 AS direction, e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, e.quantity,
       e.quantity > '-Infinity' AND e.quantity < 'Infinity' AS finite, e.id
FROM (
{new_entries}
) AS e
UNION ALL
SELECT -1, e.org, {e.item}, {e.location}, {e.lot}, e.quantity,
       e.quantity > '-Infinity' AND e.quantity < 'Infinity', NULL
FROM (
{old_entries}
) AS e
