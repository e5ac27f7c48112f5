-- The organization that this API key is a key of; NULL where the key is unknown, expired or revoked, or the organization
-- is inactive. That the key was used is noted once a day (UTC), except on a standby and in a read-only transaction.
-- Locks: what it creates or replaces. The function: where it notes, the key's row until the transaction ends; it waits
-- for nobody.
CREATE OR REPLACE FUNCTION stockfoil.org_by_api_key(api_key text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    given bytea;
    salt bytea;
    found_key record;
BEGIN
    IF api_key IS NULL OR length(api_key) > {length_max} OR api_key !~ '^[!-~]+$' THEN
        RETURN NULL;
    END IF;
    given := sha256(convert_to(api_key, 'UTF8'));
    SELECT k.hash INTO found_key
    FROM {api_keys} AS k
    JOIN {organizations} AS o ON o.id = k.org_id
    -- A made key says its id. The id of a given one is made of its hash, so that it is found by that.
    WHERE k.key_id = CASE WHEN api_key ~ {made_key} THEN substr(api_key, {id_start}, {id_length})
                          ELSE (SELECT g.key_id FROM {api_keys} AS g WHERE g.hash = given) END
      AND o.is_active AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > statement_timestamp());
    -- Hashed again with a salt of the moment, so that how long the comparison takes says nothing of what is stored.
    salt := uuid_send(gen_random_uuid());
    IF sha256(found_key.hash || salt) IS DISTINCT FROM sha256(given || salt) THEN
        RETURN NULL;
    END IF;
    RETURN stockfoil.org_by_api_key_hash(encode(given, 'hex'));
END
$body$
