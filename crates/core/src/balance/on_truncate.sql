-- An empty ledger has no balances. Repairs under way notice the ledger's new file and start again.
-- Locks: every row of balances; the TRUNCATE itself keeps all writers of the ledger out.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
{mark}    DELETE FROM {balances};
    RETURN NULL;
END
$body$
