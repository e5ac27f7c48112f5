-- What the entries of every key add up to. $1: only these organizations, or NULL.
-- Locks: ACCESS SHARE on ledger, which stops no writer.
-- Entries are summed by the ledger's own columns, which an index can serve in order; that an empty lot is no lot matters
-- only to the few rows that remain.
SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, coalesce(sum(e.quantity), 0) AS quantity
FROM (
{entries}
) AS e
WHERE $1::text[] IS NULL OR e.org = ANY ($1::text[]::{org.type}[])
GROUP BY {e.group}
