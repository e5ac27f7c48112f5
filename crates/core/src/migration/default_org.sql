-- What an insert that names no organization gets: the transaction's organization where one is set, else the default
-- one, and then the case is counted, by a sequence, which no transaction takes back. By setval, since nextval would make
-- lastval() of the application's session another number than its row's. Of several at one moment one is counted: nobody
-- waits.
-- Locks: what it creates or replaces.
CREATE OR REPLACE FUNCTION stockfoil.default_org(counted text) RETURNS {org.type}
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    org text := nullif(current_setting('app.org_id', true), '');
    counter regclass;
BEGIN
    IF org IS NULL THEN
        counter := format('stockfoil.%I', 'default_org_' || counted)::regclass;
        IF pg_try_advisory_lock('pg_class'::regclass::oid::int, counter::oid::int) THEN
            PERFORM setval(counter, coalesce(pg_sequence_last_value(counter), 0) + 1);
            PERFORM pg_advisory_unlock('pg_class'::regclass::oid::int, counter::oid::int);
        END IF;
        org := {default};
    END IF;
    RETURN org::{org.type};
END
$body$
