-- Makes the balances, empty, of what is queued for keys that have none.
-- Locks: the rows that it makes, in key order; it waits for whoever makes the same.
INSERT INTO {balances} ({balances.drift_columns})
SELECT {balances.drift_values}
FROM (SELECT DISTINCT q.org, q.item, q.location, q.lot, 0::numeric AS delta FROM stockfoil.balance_queue AS q) AS d
WHERE NOT EXISTS (SELECT FROM {balances} AS b WHERE {b.is_d})
ORDER BY {d.order}
ON CONFLICT ({balances.conflict}) DO NOTHING
