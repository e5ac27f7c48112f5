-- The place, from 1, of the first of the keys $1 to $4, which are arrays, that has no balance.
-- Locks: ACCESS SHARE on balances, which stops no writer.
SELECT k.place
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS k (org, item, location, lot, place)
WHERE NOT EXISTS (
    SELECT FROM (
{balance_rows}
    ) AS b
    WHERE b.org::text = k.org AND b.item::text = k.item AND b.location::text = k.location
      AND coalesce(b.lot::text, '') = coalesce(k.lot, ''))
ORDER BY k.place
LIMIT 1
