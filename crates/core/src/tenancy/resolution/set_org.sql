-- Makes this organization the transaction's (`app.org_id`), which row-level security and the column default go by, and
-- returns its id; an error where there is none or it is inactive, NULL included.
-- Locks: what it creates or replaces.
CREATE OR REPLACE FUNCTION stockfoil.set_org(org text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    active text := stockfoil.org_by_id(org);
BEGIN
    IF active IS NULL THEN
        -- Not repeated: by mistake it may be a key, and errors are logged.
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = CASE WHEN org IS NULL THEN 'the request is for no organization (its id is NULL)'
                           ELSE 'there is no active organization with this id' END,
            HINT = CASE WHEN org IS NULL THEN 'Answer such a request with 401 or 404 instead of going on.'
                        ELSE 'org-list shows the organizations; org-update --activate makes one active.' END;
    END IF;
    RETURN set_config('app.org_id', active, true);
END
$body$
