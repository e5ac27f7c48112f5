-- The organization that an API key is a key of which has this SHA-256, in hexadecimal; else as org_by_api_key. For drivers that write
-- values into their statements, which the server may log: a hash in a log is no key.
-- Locks: what it creates or replaces. The function: where it notes, the key's row until the transaction ends; it waits
-- for nobody.
CREATE OR REPLACE FUNCTION stockfoil.org_by_api_key_hash(hash text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    found_key record;
    today date := (statement_timestamp() AT TIME ZONE 'UTC')::date;
BEGIN
    IF org_by_api_key_hash.hash IS NULL OR org_by_api_key_hash.hash !~ '^[0-9a-fA-F]{64}$' THEN
        RETURN NULL;
    END IF;
    SELECT k.key_id, k.last_used_on, o.id::text AS org INTO found_key
    FROM {api_keys} AS k
    JOIN {organizations} AS o ON o.id = k.org_id
    WHERE k.hash = decode(org_by_api_key_hash.hash, 'hex')
      AND o.is_active AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > statement_timestamp());
    IF found_key.key_id IS NULL THEN
        RETURN NULL;
    END IF;
    IF coalesce(found_key.last_used_on < today, true) AND NOT current_setting('transaction_read_only')::boolean THEN
        BEGIN
            UPDATE {api_keys} AS k SET last_used_on = today
            WHERE k.key_id = (SELECT u.key_id FROM {api_keys} AS u
                              WHERE u.key_id = found_key.key_id AND coalesce(u.last_used_on < today, true)
                              FOR NO KEY UPDATE SKIP LOCKED);
        EXCEPTION WHEN serialization_failure THEN
            -- Somebody noted it behind the snapshot of this transaction, which need not fail for that.
            NULL;
        END;
    END IF;
    RETURN found_key.org;
END
$body$
