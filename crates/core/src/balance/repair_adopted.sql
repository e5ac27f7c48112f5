-- Adds the drift of the keys numbered $2 to $3 to their balances of an adopted table, unless the ledger ($1) is in other
-- files than $4: to those that are there, and only where there is none by a new row. A key that had no balance gets what it lacks
-- now: its writers may have left it alone since, or made its row. It gets a row only if it is among those numbered $5, which have an
-- entry that stays.
-- Locks: the rows of those balances, in key order, and ACCESS SHARE on the ledger, so that no TRUNCATE comes between.
WITH ledger AS MATERIALIZED (
    SELECT (
{ledger_file}
    ) = $4 AS is_same
    WHERE NOT EXISTS (SELECT FROM {ledger} WHERE false)
), k AS MATERIALIZED (
    SELECT n, org, item, location, lot, drift, balance_qty IS NULL AS is_missing
    FROM pg_temp.stockfoil_difference
    WHERE n BETWEEN $2 AND $3 AND repair AND (SELECT is_same FROM ledger)
), entered AS (
    -- A balance counts the entries that are numbers.
    SELECT k.n, sum(e.quantity) FILTER (WHERE e.quantity > '-Infinity' AND e.quantity < 'Infinity') AS quantity
    FROM k
    JOIN (
{entries}
    ) AS e ON e.org = k.org AND {e.item} = k.item AND {e.location} = k.location AND {e.lot} IS NOT DISTINCT FROM k.lot
    WHERE k.is_missing
    GROUP BY k.n
), there AS (
    SELECT k.n, sum(b.quantity) AS quantity
    FROM k
    JOIN (
{balance_rows}
    ) AS b ON b.org = k.org AND b.item = k.item AND b.location = k.location AND b.lot IS NOT DISTINCT FROM k.lot
    WHERE k.is_missing
    GROUP BY k.n
), d AS MATERIALIZED (
    SELECT k.n, k.org, k.item, k.location, k.lot,
           CASE WHEN k.is_missing THEN coalesce(entered.quantity, 0) - coalesce(there.quantity, 0) ELSE k.drift END AS delta
    FROM k
    LEFT JOIN entered ON entered.n = k.n
    LEFT JOIN there ON there.n = k.n
), locked AS (
    SELECT FROM {balances} AS b JOIN d ON {b.is_d} ORDER BY d.n FOR NO KEY UPDATE OF b
), changed AS (
    UPDATE {balances} AS b SET {balances.set_drift}
    FROM d
    WHERE {b.is_d} AND (SELECT count(*) FROM locked) >= 0
    RETURNING d.n
), inserted AS (
    INSERT INTO {balances} AS b ({balances.drift_columns})
    SELECT {balances.drift_values}
    FROM d
    WHERE NOT EXISTS (SELECT FROM changed AS c WHERE c.n = d.n) AND {balances.makes_rows} AND d.n = ANY ($5)
    ORDER BY d.n
    {balances.upsert_drift}
    RETURNING 1
)
SELECT (SELECT is_same FROM ledger) AS is_same,
       (SELECT count(*) FROM changed) + (SELECT count(*) FROM inserted) AS repaired
