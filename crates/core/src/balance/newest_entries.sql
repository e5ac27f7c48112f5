-- The newest entries of one key. $1 to $4: the key; $5: how many.
-- Locks: ACCESS SHARE on ledger.
SELECT {ledger.id}::text AS id, {ledger.quantity}::text AS quantity, {ledger.created_at} AS created_at
FROM {ledger}
WHERE {org} = $1 AND {ledger.item} = $2 AND {ledger.location} = $3 AND nullif({ledger.lot}, '') IS NOT DISTINCT FROM $4
ORDER BY {ledger.created_at} DESC, {ledger.id} DESC
LIMIT $5
