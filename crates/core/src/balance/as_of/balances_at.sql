-- The balances of an organization at a time, one row for each key that had entries by then, as `balance_at` tells them.
-- Locks: what it creates or replaces; ACCESS SHARE on ledger while it is called, which stops no writer.
CREATE OR REPLACE FUNCTION {function}(org {org.type}, as_of timestamptz)
RETURNS TABLE (item {item.type}, location {location.type}, lot {lot.type}, quantity numeric)
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'{styles} AS $body$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT s.item, s.location, s.lot, s.quantity FROM (
{sums_at}
    ) AS s;
END
$body$
