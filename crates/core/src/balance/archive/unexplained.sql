-- The first keys whose balance is not what the ledger would come to with what is missing, as the difference of both says.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
SELECT concat_ws('/', coalesce(a.org::text, d.org::text), coalesce(a.item::text, d.item::text),
                 coalesce(a.location::text, d.location::text), coalesce(a.lot::text, d.lot::text)) AS key
FROM pg_temp.stockfoil_archive AS a
LEFT JOIN (
{difference}
) AS d ON (d.org, d.item, d.location, coalesce(d.lot::text, '')) = (a.org, a.item, a.location, coalesce(a.lot::text, ''))
WHERE coalesce(d.drift, 0) <> -a.quantity
ORDER BY 1
LIMIT 5
