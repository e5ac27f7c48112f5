-- What the checkpoint of ledger $5 holds of one key ($1 to $4), what its sealed entries are now, and the marks that say
-- that some of them were updated or deleted since. No row where there is no checkpoint, another cluster's, or one of
-- another mapping than $6.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT c.run_id, c.sealed_at, k.quantity::text AS sealed_qty, k.entries AS sealed_entries,
       h.quantity::text AS ledger_qty, h.entries AS ledger_entries,
       (k.quantity, k.entries, k.hash) IS DISTINCT FROM (h.quantity, h.entries, h.hash) AS differs,
       (SELECT count(*) FROM stockfoil.dirty_key AS d
        WHERE d.run_id IS NULL
          AND (d.org IS NULL
               OR d.org = $1::text::{org.type} AND d.item = $2::text::{item.type} AND d.location = $3::text::{location.type}
                  AND d.lot IS NOT DISTINCT FROM $4::text::{lot.type})) AS marks
FROM stockfoil.checkpoint AS c
CROSS JOIN LATERAL (
    SELECT coalesce(sum(s.quantity), 0) AS quantity, coalesce(sum(s.entries), 0)::bigint AS entries,
           coalesce(bit_xor(s.hash), 0) AS hash
    FROM stockfoil.checkpoint_sum AS s
    WHERE s.org = $1::text::{org.type} AND s.item = $2::text::{item.type} AND s.location = $3::text::{location.type}
      AND s.lot IS NOT DISTINCT FROM $4::text::{lot.type}
) AS k
CROSS JOIN LATERAL (
    SELECT coalesce(sum(e.quantity), 0) AS quantity, count(*) AS entries, coalesce(bit_xor({e.hash}), 0) AS hash
    FROM (
{tx_entries}
    ) AS e
    WHERE e.org = $1::text::{org.type} AND {e.item} = $2::text::{item.type}
      AND {e.location} = $3::text::{location.type} AND {e.lot} IS NOT DISTINCT FROM $4::text::{lot.type}
      AND (e.tx IS NULL OR e.tx < c.watermark)
) AS h
WHERE c.ledger = $5 AND c.mapping = $6 AND c.system_identifier = (SELECT system_identifier::text FROM pg_control_system())
