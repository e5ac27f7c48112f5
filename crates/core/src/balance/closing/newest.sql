-- The newest closing of the ledger; whether this cluster counts its transactions, and whether it was read as mapping $1 reads.
-- Locks: nothing.
SELECT id, closed_before, transactions, mapping = $1 AS is_same_mapping,
       system_identifier = (SELECT s.system_identifier::text FROM pg_control_system() AS s) AS is_here
FROM stockfoil.closing
ORDER BY id DESC
LIMIT 1
