-- Closes the ledger before $2 in run $1, by role $3 and with mapping $4: records what the entries of every key add up to.
-- Answers the closing, and how many keys and entries it has.
-- Locks: ACCESS SHARE on ledger, which stops no writer; the new rows of stockfoil.closing and stockfoil.closing_balance.
WITH closing AS (
    INSERT INTO stockfoil.closing (run_id, closed_before, role, transactions, system_identifier, mapping)
    SELECT $1, $2, $3, pg_current_snapshot()::text, s.system_identifier::text, $4
    FROM pg_control_system() AS s
    RETURNING id
), closed AS (
    INSERT INTO stockfoil.closing_balance (closing_id, org_id, item_id, location_id, lot_id, quantity, entries, hash)
    SELECT (SELECT id FROM closing), e.org::text, {e.item}::text, {e.location}::text, coalesce({e.lot}::text, ''),
           coalesce(sum(e.quantity), 0), count(*), bit_xor({e.hash})
    FROM (
{tx_entries}
    ) AS e
    WHERE e.created_at < $2 OR e.created_at IS NULL
    GROUP BY 1, 2, 3, 4, 5
    RETURNING entries
)
SELECT (SELECT id FROM closing) AS id, count(*) AS keys, coalesce(sum(entries), 0)::bigint AS entries FROM closed
