-- Adds the drift of the keys numbered $2 to $3 to their balances of an adopted table, unless the ledger ($1) is in other
-- files than $4: to those that are there, and only where there is none by a new row. A row that is not there gets none either once
-- its last entry has gone: who took that away left it alone.
-- Locks: the rows of those balances, in key order, and ACCESS SHARE on the ledger, so that no TRUNCATE comes between.
WITH ledger AS MATERIALIZED (
    SELECT (
{ledger_file}
    ) = $4 AS is_same
    WHERE NOT EXISTS (SELECT FROM {ledger} WHERE false)
), d AS MATERIALIZED (
    SELECT n, org, item, location, lot, drift AS delta
    FROM pg_temp.stockfoil_difference
    WHERE n BETWEEN $2 AND $3 AND repair AND (SELECT is_same FROM ledger)
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
    WHERE NOT EXISTS (SELECT FROM changed AS c WHERE c.n = d.n) AND {balances.makes_rows}
      AND EXISTS (SELECT FROM (
{entries}
          ) AS e
          WHERE e.org = d.org AND {e.item} = d.item AND {e.location} = d.location AND {e.lot} IS NOT DISTINCT FROM d.lot)
    ORDER BY d.n
    {balances.upsert_drift}
    RETURNING 1
)
SELECT (SELECT is_same FROM ledger) AS is_same,
       (SELECT count(*) FROM changed) + (SELECT count(*) FROM inserted) AS repaired
