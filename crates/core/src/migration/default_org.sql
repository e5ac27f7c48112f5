-- What an insert that names no organization gets: the transaction's organization where one is set, else the default
-- one, and then the case is counted, by a sequence, which waits for nobody and forgets nothing.
-- Locks: what it creates or replaces.
CREATE OR REPLACE FUNCTION stockfoil.default_org(counted text) RETURNS {org.type}
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    org text := nullif(current_setting('app.org_id', true), '');
BEGIN
    IF org IS NULL THEN
        PERFORM nextval(format('stockfoil.%I', 'default_org_' || counted)::regclass);
        org := {default};
    END IF;
    RETURN org::{org.type};
END
$body$
