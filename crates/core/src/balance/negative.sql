-- The balances below zero of the organizations $1, or of all (NULL), but for the locations $2, in key order: the first $3 of
-- them, each with how many there are. What is no number is told as such.
-- Locks: ACCESS SHARE on balances, which stops no writer.
SELECT b.org::text AS org, b.item::text AS item, b.location::text AS location, b.lot::text AS lot, b.quantity::text AS quantity,
       count(*) OVER () AS total
FROM (
{balance_rows}
) AS b
WHERE ($1::text[] IS NULL OR b.org = ANY ($1::text[]::{org.type}[]))
  AND b.quantity < 0 AND b.quantity > '-Infinity'
  AND (b.location IS NULL OR b.location::text <> ALL ($2::text[]))
ORDER BY b.org, b.item, b.location, b.lot NULLS FIRST
LIMIT $3
