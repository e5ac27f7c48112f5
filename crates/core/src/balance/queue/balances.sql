-- The balances of an organization, one row a key, each with what is queued for it. It reads with the rights of whoever calls
-- it, so that row-level security holds.
-- Locks: what it creates or replaces; ACCESS SHARE on balances while it is called, which stops no writer.
CREATE OR REPLACE FUNCTION {function}(org {org.type})
RETURNS TABLE (item {item.type}, location {location.type}, lot {lot.type}, quantity numeric)
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'{styles} AS $body$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT b.item, b.location, b.lot, b.quantity FROM (
{balance_rows}
    ) AS b
    WHERE b.org = $1;
END
$body$
