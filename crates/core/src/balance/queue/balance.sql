-- The balance of one key: its row, and what is queued for it; 0 where there is neither. It reads with the rights of whoever
-- calls it, so that row-level security holds.
-- Locks: what it creates or replaces; ACCESS SHARE on balances while it is called, which stops no writer.
CREATE OR REPLACE FUNCTION {function}(org {org.type}, item {item.type}, location {location.type}, lot {lot.type})
RETURNS numeric
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'{styles} AS $body$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(sum(b.quantity), 0)
        FROM (SELECT $1 AS org, $2 AS item, {place} AS location, {a_lot} AS lot) AS d
        CROSS JOIN LATERAL (
            SELECT b.{balances.quantity}::numeric AS quantity FROM {balances} AS b WHERE {b.is_d}{queued}
        ) AS b
    );
END
$body$
