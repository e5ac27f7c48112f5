-- Records how far the ledger is sealed ($2), in this cluster ($3), by run $5, and the next round ($4). $1: the ledger.
-- Locks: one row of stockfoil.checkpoint.
INSERT INTO stockfoil.checkpoint AS c (ledger, watermark, system_identifier, round, run_id)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (ledger) DO UPDATE
SET watermark = EXCLUDED.watermark, system_identifier = EXCLUDED.system_identifier, round = EXCLUDED.round,
    run_id = EXCLUDED.run_id, sealed_at = EXCLUDED.sealed_at
