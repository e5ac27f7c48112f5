-- Takes the deleted entries from their balances. A balance keeps its row when its last entry goes: whoever writes
-- the key at the same time must find it.
-- Locks: the rows of the balances that change, in key order, until the writer's transaction ends.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
{mark}{take};
    RETURN NULL;
END
$body$
