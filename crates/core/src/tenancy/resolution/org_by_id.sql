-- The organization with this id, as the database prints it; NULL where there is none or it is inactive.
-- Locks: what it creates or replaces.
CREATE OR REPLACE FUNCTION stockfoil.org_by_id(id text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    -- A text that can't be an id names nobody; cast, it would be an error.
    IF ({is_id}) THEN
        RETURN (SELECT o.id::text FROM {organizations} AS o WHERE o.id = org_by_id.id::{org.type} AND o.is_active);
    END IF;
    RETURN NULL;
END
$body$
