-- The single-tenant inventory: people, items, places, the ledger, counts, audit, flags.
-- Locks: takes only what it creates.

CREATE TABLE users (
    id         text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    email      text NOT NULL UNIQUE,
    name       text NOT NULL,
    role       text NOT NULL DEFAULT 'member',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE items (
    id          text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    item_number text NOT NULL UNIQUE,
    name        text NOT NULL,
    unit        text NOT NULL DEFAULT 'ea',
    is_active   boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE locations (
    id         text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    site       text NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (site, name)
);

CREATE TABLE inventory_ledger (
    id            text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    item_id       text NOT NULL REFERENCES items (id),
    location_id   text NOT NULL REFERENCES locations (id),
    lot_id        text,
    qty_canonical numeric(18, 6) NOT NULL,
    entry_type    text NOT NULL DEFAULT 'adjustment',
    reference     text,
    note          text,
    created_by    text REFERENCES users (id),
    created_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN inventory_ledger.qty_canonical IS
    'Signed, in the item''s canonical unit: in is positive, out is negative.';
CREATE INDEX inventory_ledger_item_id_location_id_idx ON inventory_ledger (item_id, location_id);
CREATE INDEX inventory_ledger_created_at_idx ON inventory_ledger (created_at);

CREATE TABLE count_sheets (
    id           text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    count_number text NOT NULL UNIQUE,
    location_id  text NOT NULL REFERENCES locations (id),
    status       text NOT NULL DEFAULT 'draft',
    counted_by   text REFERENCES users (id),
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX count_sheets_location_id_idx ON count_sheets (location_id);

CREATE TABLE count_lines (
    id             text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    count_sheet_id text NOT NULL REFERENCES count_sheets (id) ON DELETE CASCADE,
    item_id        text NOT NULL REFERENCES items (id),
    lot_id         text,
    qty_counted    numeric(18, 6) NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX count_lines_count_sheet_id_idx ON count_lines (count_sheet_id);

CREATE TABLE audit_logs (
    id         text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    user_id    text REFERENCES users (id),
    action     text NOT NULL,
    entity     text NOT NULL,
    entity_id  text,
    details    jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_logs_entity_entity_id_idx ON audit_logs (entity, entity_id);
CREATE INDEX audit_logs_created_at_idx ON audit_logs (created_at);

CREATE TABLE feature_flags (
    id         text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    key        text NOT NULL UNIQUE,
    enabled    boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
