-- Adds the drift of the keys numbered $2 to $3 to their balances, unless the ledger ($1) is in other files than $4.
-- Locks: the rows of those balances, in key order, and ACCESS SHARE on the ledger, so that no TRUNCATE comes between.
WITH ledger AS MATERIALIZED (
    SELECT (
{ledger_file}
    ) = $4 AS is_same
    WHERE NOT EXISTS (SELECT FROM {ledger} WHERE false)
), repaired AS (
    INSERT INTO {balances} AS b ({balances.drift_columns})
    SELECT {balances.drift_values}
    FROM (
        SELECT n, org, item, location, lot, drift AS delta
        FROM pg_temp.stockfoil_difference
        WHERE n BETWEEN $2 AND $3 AND repair AND (SELECT is_same FROM ledger)
    ) AS d
    ORDER BY d.n
    {balances.upsert_drift}
    RETURNING 1
)
SELECT (SELECT is_same FROM ledger) AS is_same, (SELECT count(*) FROM repaired) AS repaired
