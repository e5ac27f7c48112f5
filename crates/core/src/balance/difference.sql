-- The keys whose balance is not the sum of their entries, read in one snapshot. $1: only these organizations, or NULL.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
-- Entries are summed by the ledger's own columns first, which an index can serve in order; that an empty lot is no
-- lot matters only to the few rows that remain.
SELECT k.org, k.item, k.location, k.lot, k.ledger_qty, k.balance_qty,
       CASE
           WHEN k.ledger_qty > '-Infinity' AND k.ledger_qty < 'Infinity' THEN k.ledger_qty
           WHEN k.ledger_qty IS NULL THEN 0
           -- A balance counts the entries that are numbers.
           ELSE (SELECT coalesce(sum(l.{ledger.quantity}), 0) FROM {ledger} AS l
                 WHERE l.{org} = k.org AND l.{ledger.item} = k.item AND l.{ledger.location} = k.location
                   AND nullif(l.{ledger.lot}, '') IS NOT DISTINCT FROM k.lot
                   AND l.{ledger.quantity} > '-Infinity' AND l.{ledger.quantity} < 'Infinity')
       END - coalesce(k.balance_qty, 0) AS drift
FROM (
    SELECT u.org, u.item, u.location, u.lot, sum(u.ledger_qty) AS ledger_qty, sum(u.balance_qty) AS balance_qty
    FROM (
        SELECT {org} AS org, {ledger.item} AS item, {ledger.location} AS location, nullif({ledger.lot}, '') AS lot,
               coalesce(sum({ledger.quantity}), 0) AS ledger_qty, NULL::numeric AS balance_qty
        FROM {ledger}
        WHERE $1::text[] IS NULL OR {org} = ANY ($1)
        GROUP BY {org}, {ledger.item}, {ledger.location}, {ledger.lot}
        UNION ALL
        SELECT {org}, item_id, location_id, lot_id, NULL, qty_canonical
        FROM {balances}
        WHERE $1::text[] IS NULL OR {org} = ANY ($1)
    ) AS u
    GROUP BY 1, 2, 3, 4
    HAVING sum(u.ledger_qty) IS DISTINCT FROM sum(u.balance_qty)
) AS k
