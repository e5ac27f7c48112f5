-- Both sides of one key ($1 to $4): what its entries add up to, those that are numbers and those that are new since the
-- comparison of snapshot $5 at time $6, and the stored balance.
-- Locks: ACCESS SHARE on ledger and balances, which stops no writer.
SELECT l.entries, l.ledger_qty::text, l.counted_qty::text, l.not_a_number, l.new_entries, l.new_qty::text,
       b.quantity::text AS balance_qty
FROM (
    SELECT count(*) AS entries, CASE WHEN count(*) > 0 THEN coalesce(sum(e.quantity), 0) END AS ledger_qty,
           coalesce(sum(e.quantity) FILTER (WHERE e.is_number), 0) AS counted_qty,
           count(*) FILTER (WHERE NOT e.is_number) AS not_a_number,
           count(*) FILTER (WHERE e.is_new) AS new_entries,
           coalesce(sum(e.quantity) FILTER (WHERE e.is_new AND e.is_number), 0) AS new_qty
    FROM (
{key_entries}
    ) AS e
) AS l
LEFT JOIN (
{balance_rows}
) AS b ON b.org = $1::text::{org.type} AND b.item = $2::text::{item.type}
      AND b.location = $3::text::{location.type} AND b.lot IS NOT DISTINCT FROM $4::text::{lot.type}
