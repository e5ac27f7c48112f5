-- The keys whose entries before $2 are not those that closing $1 recorded, with both sums. $3: only these organizations, or
-- NULL. An entry without a time counts at every time, and so before that one.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
SELECT u.org, u.item, u.location, u.lot, max(u.quantity)::text AS ledger_qty, max(u.closed_quantity)::text AS closed_qty
FROM (
    SELECT e.org::text AS org, {e.item}::text AS item, {e.location}::text AS location, coalesce({e.lot}::text, '') AS lot,
           coalesce(sum(e.quantity), 0) AS quantity, count(*) AS entries, bit_xor({e.hash}) AS hash,
           NULL::numeric AS closed_quantity, NULL::bigint AS closed_entries, NULL::bigint AS closed_hash
    FROM (
{tx_entries}
    ) AS e
    {of_entries}
    WHERE (e.created_at < $2 OR e.created_at IS NULL) AND ($3::text[] IS NULL OR e.org = ANY ($3::text[]::{org.type}[]))
    GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT c.org_id, c.item_id, c.location_id, c.lot_id, NULL, NULL, NULL, c.quantity, c.entries, c.hash
    FROM stockfoil.closing_balance AS c
    {of_closed}
    WHERE c.closing_id = $1 AND ($3::text[] IS NULL OR c.org_id = ANY ($3))
) AS u
GROUP BY 1, 2, 3, 4
HAVING (max(u.quantity), max(u.entries), max(u.hash)) IS DISTINCT FROM (max(u.closed_quantity), max(u.closed_entries), max(u.closed_hash))
ORDER BY 1, 2, 3, 4
