-- Records how far the ledger is sealed ($2), in this cluster ($3), by run $5, the next round ($4), and what that was made
-- of ($6 to $8). $1: the ledger. There is one checkpoint: the sums are no other ledger's any more.
-- Locks: rows of stockfoil.checkpoint.
WITH other AS (DELETE FROM stockfoil.checkpoint WHERE ledger <> $1)
INSERT INTO stockfoil.checkpoint AS c (ledger, watermark, system_identifier, round, run_id, mapping, sources, keepers)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (ledger) DO UPDATE
SET watermark = EXCLUDED.watermark, system_identifier = EXCLUDED.system_identifier, round = EXCLUDED.round,
    run_id = EXCLUDED.run_id, mapping = EXCLUDED.mapping, sources = EXCLUDED.sources, keepers = EXCLUDED.keepers,
    sealed_at = EXCLUDED.sealed_at
