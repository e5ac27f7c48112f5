-- Writes an entry for each key, and returns its id, whether it holds its quantity exactly, and whether it is one that counts.
-- Locks: ROW EXCLUSIVE on ledger; by its triggers the rows of the balances, until the transaction ends.
INSERT INTO {entry.table} AS w ({entry.columns})
SELECT {entry.values}
FROM (
{entry.keys}
) AS d
RETURNING {entry.id} AS id, {entry.is_exact} AS is_exact, {entry.counts} AS counts
