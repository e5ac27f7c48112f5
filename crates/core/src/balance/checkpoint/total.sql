-- Adds what was sealed, of organizations ($1) to the totals ($2) and how many rows ($3), to the totals.
-- Locks: rows of stockfoil.checkpoint_total.
INSERT INTO stockfoil.checkpoint_total AS c (org, hash_total, sealed_rows)
SELECT s.org::{org.type}, sum(s.total::numeric), sum(s.rows)
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS s (org, total, rows)
GROUP BY s.org
ON CONFLICT (org) DO UPDATE
SET hash_total = c.hash_total + EXCLUDED.hash_total, sealed_rows = c.sealed_rows + EXCLUDED.sealed_rows
