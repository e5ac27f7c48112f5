-- The balance of one key at a time: what its entries up to then add up to, as the ledger says now; 0 where there were none, and
-- NULL for no time. It reads with the rights of whoever calls it, so that row-level security holds.
-- Locks: what it creates or replaces; ACCESS SHARE on ledger while it is called, which stops no writer.
CREATE OR REPLACE FUNCTION {function}(org {org.type}, item {item.type}, location {location.type}, lot {lot.type}, as_of timestamptz)
RETURNS numeric
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'{styles} AS $body$
#variable_conflict use_column
BEGIN
    IF $5 IS NULL THEN
        RETURN NULL;
    -- Told apart here, so that the key index finds either by all of its columns.
    ELSIF {has_lot} THEN
        RETURN coalesce((SELECT s.quantity FROM (
{sums_of_lot}
        ) AS s), 0);
    END IF;
    RETURN coalesce((SELECT s.quantity FROM (
{sums_of_none}
    ) AS s), 0);
END
$body$
