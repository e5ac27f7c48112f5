-- Takes the deleted entries from their balances. A balance keeps its row when its last entry goes: whoever writes
-- the key at the same time must find it.
-- Locks: the rows of the balances that change, in key order, until the writer's transaction ends.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
{mark}    INSERT INTO {balances} AS b ({balances.columns})
    SELECT {balances.values}
    FROM (
        -- An entry that is not a number was never counted.
        SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, NULL::text AS ledger_id,
               -sum(e.quantity) FILTER (WHERE e.quantity > '-Infinity' AND e.quantity < 'Infinity') AS delta
        FROM (
{old_entries}
        ) AS e
        GROUP BY 1, 2, 3, 4
    ) AS d
    WHERE d.delta <> 0
    ORDER BY {d.order}
    {balances.add};
    RETURN NULL;
END
$body$
