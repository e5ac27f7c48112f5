-- Records that the balances of organization $1, which run $2 brought in, are what its entries add up to.
-- Locks: the new row of stockfoil.backfill.
INSERT INTO stockfoil.backfill (org_id, run_id, keys)
SELECT $1, $2, count(*) FROM {balances} AS b WHERE b.{org} = $1::text::{org.type}
ON CONFLICT (org_id) DO UPDATE SET run_id = EXCLUDED.run_id, keys = EXCLUDED.keys, finished_at = EXCLUDED.finished_at
