-- The organization that this API key is a key of, and the key's label and scopes; no row where org_by_api_key leads nowhere.
-- Locks: what it creates or replaces. The function: as stockfoil.org_by_api_key.
CREATE OR REPLACE FUNCTION stockfoil.api_key(api_key text) RETURNS TABLE (org_id text, label text, scopes text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
BEGIN
    IF stockfoil.org_by_api_key($1) IS NOT NULL THEN
        RETURN QUERY SELECT f.org_id, f.label, f.scopes
                     FROM stockfoil.api_key_by_hash(encode(sha256(convert_to($1, 'UTF8')), 'hex')) AS f;
    END IF;
END
$body$
