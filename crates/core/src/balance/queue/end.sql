-- Folds what is queued, where there is a queue, and may drop it, so that nothing queued is lost in between.
-- Locks: ACCESS EXCLUSIVE on the queue, which waits for writers and readers of it; the rows of the balances that it changes.
DO $body$
BEGIN
    IF to_regclass('stockfoil.balance_queue') IS NOT NULL AND to_regclass({balances.text}) IS NOT NULL THEN
        LOCK TABLE stockfoil.balance_queue IN ACCESS EXCLUSIVE MODE;
        EXECUTE {rows_text};
        EXECUTE {fold_text};
    END IF;
{then}END
$body$
