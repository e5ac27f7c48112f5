-- How many keys' balances still lack something, and how many keys hold an entry or a balance that is no number. $1: only these
-- organizations, or NULL.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
SELECT count(*) FILTER (WHERE (d.drift <> 0 AND d.drift > '-Infinity' AND d.drift < 'Infinity' OR d.balance_qty IS NULL)
                          AND d.item IS NOT NULL AND d.location IS NOT NULL) AS lacking,
       count(*) FILTER (WHERE NOT (d.ledger_qty > '-Infinity' AND d.ledger_qty < 'Infinity'
                                   AND d.balance_qty > '-Infinity' AND d.balance_qty < 'Infinity')) AS not_a_number
FROM (
{difference}
) AS d
