-- What the checkpoint of ledger $5 holds of one key ($1 to $4), what its sealed entries are now, and the marks that say
-- that some of them were updated or deleted since. No row where there is no checkpoint, or another cluster's.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT c.run_id, c.sealed_at, coalesce(k.quantity, 0)::text AS sealed_qty, coalesce(k.entries, 0) AS sealed_entries,
       h.quantity::text AS ledger_qty, h.entries AS ledger_entries,
       (coalesce(k.quantity, 0), coalesce(k.entries, 0), coalesce(k.hash, 0))
           IS DISTINCT FROM (h.quantity, h.entries, h.hash) AS differs,
       (SELECT count(*) FROM stockfoil.dirty_key AS d
        WHERE d.org IS NULL
           OR d.org = $1::text::{org.type} AND d.item = $2::text::{item.type} AND d.location = $3::text::{location.type}
              AND d.lot IS NOT DISTINCT FROM $4::text::{lot.type}) AS marks
FROM stockfoil.checkpoint AS c
LEFT JOIN stockfoil.checkpoint_key AS k
       ON k.org = $1::text::{org.type} AND k.item = $2::text::{item.type} AND k.location = $3::text::{location.type}
      AND k.lot IS NOT DISTINCT FROM $4::text::{lot.type}
CROSS JOIN LATERAL (
    SELECT coalesce(sum(e.quantity), 0) AS quantity, count(*) AS entries, coalesce(bit_xor({e.hash}), 0) AS hash
    FROM (
{tx_entries}
    ) AS e
    WHERE e.org = $1::text::{org.type} AND {e.item} = $2::text::{item.type}
      AND {e.location} = $3::text::{location.type} AND {e.lot} IS NOT DISTINCT FROM $4::text::{lot.type}
      AND (e.tx IS NULL OR e.tx < c.watermark)
) AS h
WHERE c.ledger = $5 AND c.system_identifier = (SELECT system_identifier::text FROM pg_control_system())
