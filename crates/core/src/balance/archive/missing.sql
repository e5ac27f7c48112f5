-- As `sums.sql`, of entries that are not in the ledger any more: what closing $1 recorded of them, without those before $2 that are
-- still there. What was made later, by its transaction, is none of them; $3: the transactions that were over then, or NULL
-- where this cluster does not count them; $4 and $5: the partition, for the time of its newest entry.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
CREATE TEMPORARY TABLE stockfoil_archive AS
SELECT m.org::{org.type} AS org, m.item::{item.type} AS item, m.location::{location.type} AS location,
       nullif(m.lot, '')::{lot.type} AS lot, m.quantity, m.entries, m.hash,
       (SELECT k.newest_at FROM stockfoil.closing_partition AS k
        WHERE k.closing_id = $1 AND k.schema_name = $4 AND k.table_name = $5 ORDER BY 1 DESC LIMIT 1) AS newest_at
FROM (
    SELECT u.org, u.item, u.location, u.lot,
           coalesce(sum(u.quantity), 0) AS quantity, sum(u.entries)::bigint AS entries, bit_xor(u.hash) AS hash
    FROM (
        SELECT c.org_id AS org, c.item_id AS item, c.location_id AS location, c.lot_id AS lot, c.quantity, c.entries, c.hash
        FROM stockfoil.closing_balance AS c
        WHERE c.closing_id = $1
        UNION ALL
        SELECT e.org::text, {e.item}::text, {e.location}::text, coalesce({e.lot}::text, ''),
               -sum(e.quantity), -count(*), bit_xor({e.hash})
        FROM (
{tx_entries}
        ) AS e
        WHERE (e.created_at < $2 OR e.created_at IS NULL)
          AND (e.tx IS NULL OR $3::text IS NULL OR pg_visible_in_snapshot(e.tx::text::xid8, $3::text::pg_snapshot))
        GROUP BY 1, 2, 3, 4
    ) AS u
    GROUP BY 1, 2, 3, 4
) AS m
WHERE (m.quantity, m.entries, m.hash) IS DISTINCT FROM (0::numeric, 0::bigint, 0::bigint)
