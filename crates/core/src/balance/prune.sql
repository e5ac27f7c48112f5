-- Removes rows of zero whose key had no entry, unless a writer holds them or has used them meanwhile. Numbers $1 to $2.
-- Locks: the rows that it removes; it waits for nobody.
WITH empty AS (
    SELECT b.tableoid, b.ctid
    FROM pg_temp.stockfoil_difference AS d
    JOIN {balances} AS b ON {b.is_d}
    WHERE d.n BETWEEN $1 AND $2 AND d.ledger_qty IS NULL AND b.{balances.quantity} = 0
    FOR UPDATE OF b SKIP LOCKED
)
-- The locked row is where it was: nobody else can have moved it.
DELETE FROM {balances} AS b
USING empty AS e
WHERE b.tableoid = e.tableoid AND b.ctid = e.ctid AND b.{balances.quantity} = 0
