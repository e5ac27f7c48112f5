-- The entries from watermark {watermark} on, but those of what is summed again.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT n.*
FROM (
    SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, coalesce(e.quantity, 0) AS quantity, e.tx,
           {e.hash} AS hash
    FROM (
{tx_entries}
    ) AS e
    WHERE e.tx >= {watermark}
) AS n
WHERE {is_clean}
