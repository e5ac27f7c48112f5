-- The newest entries of one key, with how many each posted. $1 to $4: the key; $5: how many.
-- Locks: ACCESS SHARE on ledger.
SELECT {e.id} AS id, e.quantity::text AS quantity, e.created_at::timestamptz AS created_at
FROM (
{entries}
) AS e
WHERE e.org = $1::{org.type} AND {e.item} = $2::{item.type} AND {e.location} = $3::{location.type}
  AND {e.lot} IS NOT DISTINCT FROM $4::{lot.type}
ORDER BY e.created_at DESC NULLS LAST, e.id DESC
LIMIT $5
