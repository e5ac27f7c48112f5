-- The organization with this subdomain, in whatever case; NULL where there is none or it is inactive.
-- Locks: what it creates or replaces.
CREATE OR REPLACE FUNCTION stockfoil.org_by_subdomain(subdomain text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    -- Labels are ASCII: no locale's rules for letters. As a variable it has the column's collation, which the index has.
    label text := lower(org_by_subdomain.subdomain COLLATE "C");
BEGIN
    RETURN (SELECT o.id::text FROM {organizations} AS o WHERE o.subdomain = label AND o.is_active);
END
$body$
