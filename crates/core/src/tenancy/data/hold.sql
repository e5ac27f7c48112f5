-- Locks the entries numbered $1 to $2 that are organization $3's, and puts their keys aside.
-- Locks: those entries, in the order of their key.
INSERT INTO pg_temp.stockfoil_batch
SELECT {t.keys}
FROM {closure} AS c
JOIN {table} AS t ON {t.is_c}
WHERE c.n BETWEEN $1 AND $2 AND t.{org} IS NOT DISTINCT FROM $3::text::{org.type}
ORDER BY c.n
FOR UPDATE OF t
