-- The first key whose new entry is not what its old entries add up to, with both.
-- Locks: nothing but temporary tables.
SELECT format('%s: %s and not %s', concat_ws('/', k.org, k.item, k.location, k.lot), coalesce(k.brought::text, 'nothing'), k.quantity)
FROM (
    SELECT coalesce(a.org::text, b.org::text) AS org, coalesce(a.item::text, b.item::text) AS item,
           coalesce(a.location::text, b.location::text) AS location, coalesce(a.lot::text, b.lot::text) AS lot,
           b.quantity AS brought, coalesce(a.quantity, 0) AS quantity
    FROM (SELECT * FROM pg_temp.stockfoil_archive WHERE quantity <> 0) AS a
    FULL JOIN pg_temp.stockfoil_brought AS b
        ON b.org = a.org AND b.item = a.item AND b.location = a.location AND coalesce(b.lot::text, '') = coalesce(a.lot::text, '')
) AS k
WHERE k.brought IS DISTINCT FROM k.quantity
ORDER BY 1
LIMIT 1
