-- How many keys are marked, whose turn it is, and how much is sealed of how many balances.
-- Locks: ACCESS SHARE on balances, which stops no writer.
SELECT (SELECT count(*) FROM pg_temp.stockfoil_dirty) AS marked_keys,
       (SELECT count(*) FROM pg_temp.stockfoil_turn) AS turns,
       (SELECT count(*) FROM stockfoil.checkpoint_sum) AS sealed_rows,
       (SELECT count(*) FROM {balances}) AS balances
