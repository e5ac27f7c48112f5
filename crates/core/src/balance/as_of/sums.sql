-- What the entries at or before a time add up to, by key, of those of which a condition holds: as the ledger says now.
-- An entry without a time was there from the beginning, so that the present time gives the present balance. What is no
-- number is counted apart, as it is in no balance.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot,
       coalesce(sum(e.quantity) FILTER (WHERE e.quantity > '-Infinity' AND e.quantity < 'Infinity'), 0) AS quantity,
       count(*) FILTER (WHERE NOT (e.quantity > '-Infinity' AND e.quantity < 'Infinity')) AS not_a_number,
       count(*) FILTER (WHERE e.created_at IS NULL) AS undated
FROM (
{entries}
) AS e
WHERE {only} AND (e.created_at <= {at} OR e.created_at IS NULL)
GROUP BY 1, 2, 3, 4
