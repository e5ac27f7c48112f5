-- Locks: takes only what it creates.
CREATE TABLE {organizations} (
    id         {id_column},
    name       text NOT NULL CHECK (btrim(name) <> '' AND char_length(name) <= 200),
    subdomain  text UNIQUE CHECK (
        subdomain ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'
        AND subdomain !~ '^..--'
        AND subdomain !~ '^[0-9]+$'
    ),
    is_active  boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
)
