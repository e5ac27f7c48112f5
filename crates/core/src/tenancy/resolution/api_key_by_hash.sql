-- The same by the key's SHA-256, in hexadecimal, as org_by_api_key_hash takes it.
-- Locks: what it creates or replaces. The function: as stockfoil.org_by_api_key_hash.
CREATE OR REPLACE FUNCTION stockfoil.api_key_by_hash(hash text) RETURNS TABLE (org_id text, label text, scopes text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
DECLARE
    org text := stockfoil.org_by_api_key_hash($1);
BEGIN
    IF org IS NOT NULL THEN
        RETURN QUERY SELECT org, k.label::text, k.scopes::text FROM {api_keys} AS k WHERE k.hash = decode($1, 'hex');
    END IF;
END
$body$
