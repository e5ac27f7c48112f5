-- How many keys that were put aside have an open finding of a difference or of changed entries.
-- Locks: nothing.
SELECT count(DISTINCT (a.org, a.item, a.location, a.lot))
FROM pg_temp.stockfoil_archive AS a
JOIN stockfoil.finding AS f
    ON (f.org_id, f.item_id, f.location_id, coalesce(f.lot_id, ''))
       = (a.org::text, a.item::text, a.location::text, coalesce(a.lot::text, ''))
WHERE f.closed_run IS NULL AND f.kind <> 'negative'
