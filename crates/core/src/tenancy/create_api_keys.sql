-- Locks: organizations against writes, for the foreign key; and what it creates.
CREATE TABLE {api_keys} (
    key_id       text PRIMARY KEY CHECK (key_id <> ''),
    org_id       {org.type} NOT NULL REFERENCES {organizations} (id),
    hash         bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_on date,
    -- For the application to read.
    label        text,
    scopes       text
)
