-- Adds what is queued to the balances that it is for, and says how many deltas it was. It must see all that was committed
-- before it, so it runs in a transaction of its own or first in one.
-- Locks: the rows of those balances, in key order; it may skip those that somebody else holds.
WITH d AS MATERIALIZED (
    SELECT DISTINCT q.org, q.item, q.location, q.lot FROM stockfoil.balance_queue AS q
), free AS MATERIALIZED (
    SELECT d.* FROM {balances} AS b JOIN d ON {b.is_d} ORDER BY {d.order} FOR NO KEY UPDATE OF b{skip}
), folded AS (
    DELETE FROM stockfoil.balance_queue AS q USING free AS d WHERE {q.is_d} RETURNING q.*
), changed AS (
    UPDATE {balances} AS b SET {balances.set_drift}
    FROM (SELECT org, item, location, lot, sum(delta) AS delta FROM folded GROUP BY 1, 2, 3, 4) AS d
    WHERE {b.is_d}
)
SELECT count(*) FROM folded
