-- As `difference.sql`, from the sealed sums: entries are read from watermark {watermark} on, of marked keys, and of the
-- organizations whose turn it is.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
SELECT k.org, k.item, k.location, k.lot, k.ledger_qty, k.balance_qty,
       CASE
           WHEN k.ledger_qty > '-Infinity' AND k.ledger_qty < 'Infinity' THEN k.ledger_qty
           WHEN k.ledger_qty IS NULL THEN 0
           -- A balance counts the entries that are numbers.
           ELSE (SELECT coalesce(sum(e.quantity), 0)
                 FROM (
{tx_entries}
                 ) AS e
                 WHERE e.org = k.org AND {e.item} = k.item AND {e.location} = k.location
                   AND {e.lot} IS NOT DISTINCT FROM k.lot
                   AND e.quantity > '-Infinity' AND e.quantity < 'Infinity')
       END - coalesce(k.balance_qty, 0) AS drift
FROM (
    SELECT u.org, u.item, u.location, u.lot, sum(u.ledger_qty) AS ledger_qty, sum(u.balance_qty) AS balance_qty
    FROM (
        SELECT c.org, c.item, c.location, c.lot, c.quantity AS ledger_qty, NULL::numeric AS balance_qty
        FROM stockfoil.checkpoint_key AS c
        WHERE NOT EXISTS (SELECT FROM pg_temp.stockfoil_turn AS t WHERE t.org = c.org)
          AND NOT EXISTS (SELECT FROM pg_temp.stockfoil_dirty AS d
                          WHERE d.org = c.org AND d.item = c.item AND d.location = c.location
                            AND d.lot IS NOT DISTINCT FROM c.lot)
        UNION ALL
        SELECT n.org, n.item, n.location, n.lot, coalesce(sum(n.quantity), 0), NULL
        FROM (
            SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, e.quantity
            FROM (
{tx_entries}
            ) AS e
            WHERE e.tx >= {watermark}
        ) AS n
        WHERE NOT EXISTS (SELECT FROM pg_temp.stockfoil_turn AS t WHERE t.org = n.org)
          AND NOT EXISTS (SELECT FROM pg_temp.stockfoil_dirty AS d
                          WHERE d.org = n.org AND d.item = n.item AND d.location = n.location
                            AND d.lot IS NOT DISTINCT FROM n.lot)
        GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT d.org, d.item, d.location, d.lot, coalesce(sum(e.quantity), 0), NULL
        FROM pg_temp.stockfoil_dirty AS d
        JOIN (
{tx_entries}
        ) AS e ON e.org = d.org AND {e.item} = d.item AND {e.location} = d.location AND {e.lot} IS NOT DISTINCT FROM d.lot
        WHERE NOT EXISTS (SELECT FROM pg_temp.stockfoil_turn AS t WHERE t.org = d.org)
        GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT e.org, {e.item}, {e.location}, {e.lot}, coalesce(sum(e.quantity), 0), NULL
        FROM (
{tx_entries}
        ) AS e
        JOIN pg_temp.stockfoil_turn AS t ON t.org = e.org
        GROUP BY {e.group}
        UNION ALL
        SELECT b.org, b.item, b.location, b.lot, NULL, b.quantity
        FROM (
{balance_rows}
        ) AS b
    ) AS u
    GROUP BY 1, 2, 3, 4
    HAVING sum(u.ledger_qty) IS DISTINCT FROM sum(u.balance_qty)
) AS k
