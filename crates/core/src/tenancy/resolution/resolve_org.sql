-- The organization that a request is for: of the id in its header, else of its subdomain, else of its API key, else the
-- default one. What is given decides, and where it leads nowhere the answer is NULL, never the next one's. A key that is
-- given must be the organization's own, however that was found.
-- Locks: what it creates or replaces. The function: as stockfoil.org_by_api_key.
CREATE OR REPLACE FUNCTION stockfoil.resolve_org(header text DEFAULT NULL, subdomain text DEFAULT NULL, api_key text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    keyed text;
    named text;
BEGIN
    IF api_key <> '' THEN
        keyed := stockfoil.org_by_api_key(api_key);
        IF keyed IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    IF header <> '' THEN
        named := stockfoil.org_by_id(header);
    ELSIF subdomain <> '' THEN
        named := stockfoil.org_by_subdomain(subdomain);
    ELSE
        named := coalesce(keyed, stockfoil.org_by_id({default}));
    END IF;
    RETURN CASE WHEN keyed IS NULL OR keyed = named THEN named END;
END
$body$
