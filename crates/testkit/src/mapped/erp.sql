-- An ERP's stock: a move takes from one location and gives to another, counts once it is done, and the quants hold
-- the balances that the ERP computed itself, some of them wrong.
-- The content is the same in each database: it comes from hashes of counters, not from chance.

CREATE TABLE res_users (
    id          serial PRIMARY KEY,
    login       varchar NOT NULL,
    email       varchar NOT NULL,
    name        varchar NOT NULL,
    active      boolean NOT NULL DEFAULT true,
    create_date timestamp NOT NULL DEFAULT now(),
    CONSTRAINT res_users_login_uniq UNIQUE (login)
);

CREATE TABLE product_template (
    id         serial PRIMARY KEY,
    name       varchar NOT NULL,
    type       varchar NOT NULL DEFAULT 'consu',
    list_price numeric NOT NULL DEFAULT 0,
    active     boolean NOT NULL DEFAULT true
);

CREATE TABLE product_product (
    id              serial PRIMARY KEY,
    product_tmpl_id integer NOT NULL REFERENCES product_template (id) ON DELETE CASCADE,
    default_code    varchar,
    barcode         varchar,
    active          boolean NOT NULL DEFAULT true,
    write_date      timestamp
);
CREATE UNIQUE INDEX product_product_barcode_uniq ON product_product (barcode) WHERE barcode IS NOT NULL;
CREATE INDEX product_product_default_code_index ON product_product (default_code);

CREATE TABLE stock_location (
    id          serial PRIMARY KEY,
    name        varchar NOT NULL,
    usage       varchar NOT NULL DEFAULT 'internal',
    location_id integer REFERENCES stock_location (id) ON DELETE CASCADE,
    barcode     varchar,
    CONSTRAINT stock_location_usage_check CHECK (usage IN ('view', 'internal', 'supplier', 'customer', 'inventory', 'transit')),
    CONSTRAINT stock_location_barcode_uniq UNIQUE (barcode)
);

CREATE TABLE stock_lot (
    id         serial PRIMARY KEY,
    name       varchar NOT NULL,
    product_id integer NOT NULL REFERENCES product_product (id) ON DELETE RESTRICT,
    CONSTRAINT stock_lot_name_uniq UNIQUE (name, product_id)
);

CREATE TABLE stock_picking (
    id             serial PRIMARY KEY,
    name           varchar NOT NULL,
    state          varchar NOT NULL DEFAULT 'draft',
    scheduled_date timestamp,
    user_id        integer REFERENCES res_users (id) ON DELETE SET NULL,
    CONSTRAINT stock_picking_name_uniq UNIQUE (name)
);

CREATE TABLE stock_move (
    id               serial PRIMARY KEY,
    name             varchar NOT NULL,
    product_id       integer NOT NULL REFERENCES product_product (id) ON DELETE RESTRICT,
    quantity         numeric NOT NULL DEFAULT 0,
    product_uom      varchar NOT NULL DEFAULT 'unit',
    location_id      integer NOT NULL REFERENCES stock_location (id) ON DELETE RESTRICT,
    location_dest_id integer NOT NULL REFERENCES stock_location (id) ON DELETE RESTRICT,
    lot_id           integer REFERENCES stock_lot (id) ON DELETE RESTRICT,
    picking_id       integer REFERENCES stock_picking (id) ON DELETE CASCADE,
    state            varchar NOT NULL DEFAULT 'draft',
    date             timestamp NOT NULL DEFAULT now(),
    create_uid       integer REFERENCES res_users (id) ON DELETE SET NULL,
    write_date       timestamp,
    CONSTRAINT stock_move_state_check CHECK (state IN ('draft', 'confirmed', 'assigned', 'done', 'cancel')),
    CONSTRAINT stock_move_quantity_check CHECK (quantity >= 0)
);
CREATE INDEX stock_move_product_location_index ON stock_move (product_id, location_id, location_dest_id, state);
CREATE INDEX stock_move_date_index ON stock_move (date) WHERE state = 'done';

CREATE TABLE stock_quant (
    id                serial PRIMARY KEY,
    product_id        integer NOT NULL REFERENCES product_product (id) ON DELETE RESTRICT,
    location_id       integer NOT NULL REFERENCES stock_location (id) ON DELETE RESTRICT,
    lot_id            integer REFERENCES stock_lot (id) ON DELETE RESTRICT,
    quantity          numeric NOT NULL DEFAULT 0,
    reserved_quantity numeric NOT NULL DEFAULT 0,
    in_date           timestamp NOT NULL DEFAULT now(),
    write_date        timestamp
);
CREATE INDEX stock_quant_product_location_index ON stock_quant (product_id, location_id);

-- Settings of the installation, nobody's.
CREATE TABLE ir_config_parameter (
    id    serial PRIMARY KEY,
    key   varchar NOT NULL UNIQUE,
    value text
);
INSERT INTO ir_config_parameter (key, value) VALUES ('database.uuid', 'a1'), ('web.base.url', 'http://erp.example');

CREATE VIEW stock_report_quantity AS
SELECT q.product_id, l.id AS location_id, sum(q.quantity) AS quantity, sum(q.quantity - q.reserved_quantity) AS available
FROM stock_quant q
JOIN stock_location l ON l.id = q.location_id
WHERE l.usage = 'internal'
GROUP BY q.product_id, l.id;

INSERT INTO res_users (login, email, name)
SELECT 'user' || n, format('user%s@%s', n, CASE WHEN n % 4 = 0 THEN 'acme.example' ELSE 'erp.example' END), 'User ' || n
FROM generate_series(1, 24) AS n;

INSERT INTO product_template (name, type, list_price)
SELECT 'Product ' || n, 'product', n * 1.5 FROM generate_series(1, 60) AS n;

INSERT INTO product_product (product_tmpl_id, default_code, barcode)
SELECT 1 + n % 60, 'P' || lpad(n::text, 4, '0'), CASE WHEN n % 3 > 0 THEN '4006381' || lpad(n::text, 6, '0') END
FROM generate_series(1, 90) AS n;

-- 1 to 8 are bins of the warehouse; the other ends of its moves are the supplier, the customer and the loss.
INSERT INTO stock_location (name, usage, location_id, barcode)
SELECT 'WH/Stock/' || n, 'internal', NULL, 'BIN-' || n FROM generate_series(1, 8) AS n;
INSERT INTO stock_location (name, usage) VALUES
    ('Partners/Vendors', 'supplier'), ('Partners/Customers', 'customer'), ('Inventory adjustment', 'inventory');

-- Lot n belongs to product 1 + n % 90.
INSERT INTO stock_lot (name, product_id)
SELECT 'LOT' || n, 1 + n % 90 FROM generate_series(1, 180) AS n;

INSERT INTO stock_picking (name, state, scheduled_date, user_id)
SELECT 'WH/IN/' || lpad(n::text, 5, '0'), 'done', timestamp '2025-01-01' + n * interval '3 hours', 1 + n % 24
FROM generate_series(1, 400) AS n;

-- Receipts, moves within the warehouse, deliveries, losses. A move within one bin changes nothing.
INSERT INTO stock_move (name, product_id, quantity, location_id, location_dest_id, lot_id, picking_id, state, date, create_uid)
SELECT 'move ' || n, 1 + h.product, (1 + abs(hashint4(n)::bigint) % 9000) / 100.0,
       CASE n % 6 WHEN 0 THEN 9 WHEN 1 THEN 9 WHEN 2 THEN 1 + n % 8 WHEN 3 THEN 1 + n % 8 WHEN 4 THEN 1 + n % 8 ELSE 1 + n % 7 END,
       CASE n % 6 WHEN 0 THEN 1 + n % 8 WHEN 1 THEN 1 + n % 7 WHEN 2 THEN 1 + n % 5 WHEN 3 THEN 10 WHEN 4 THEN 10 ELSE 11 END,
       CASE WHEN n % 4 > 1 THEN CASE WHEN h.product = 0 THEN 90 ELSE h.product END END,
       CASE WHEN n % 2 = 0 THEN 1 + n % 400 END,
       CASE WHEN n % 10 < 8 THEN 'done' WHEN n % 10 = 8 THEN 'draft' ELSE 'cancel' END,
       timestamp '2025-01-01' + n * interval '101 minutes', 1 + n % 24
FROM generate_series(1, 4500) AS n, LATERAL (SELECT (n * 37) % 90 AS product) AS h;

INSERT INTO stock_quant (product_id, location_id, lot_id, quantity, in_date)
SELECT product_id, location_id, lot_id, sum(quantity), max(date)
FROM (
    SELECT product_id, location_dest_id AS location_id, lot_id, quantity, date FROM stock_move WHERE state = 'done'
    UNION ALL
    SELECT product_id, location_id, lot_id, -quantity, date FROM stock_move WHERE state = 'done'
) AS m
GROUP BY product_id, location_id, lot_id
ORDER BY product_id, location_id, lot_id;
-- What years of concurrent bookings leave behind: quants that drifted, and quants that are not there.
UPDATE stock_quant SET quantity = quantity + 0.005 WHERE id % 97 = 0;
UPDATE stock_quant SET quantity = quantity - 12 WHERE id % 211 = 0;
DELETE FROM stock_quant WHERE id % 151 = 0;

CREATE FUNCTION stock_move_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.write_date := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER stock_move_write BEFORE INSERT OR UPDATE ON stock_move FOR EACH ROW EXECUTE FUNCTION stock_move_write();

CREATE FUNCTION stock_picking_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE stock_picking p SET state = NEW.state WHERE p.id = NEW.picking_id AND p.state <> NEW.state;
    RETURN NULL;
END
$$;
CREATE TRIGGER stock_move_picking AFTER UPDATE OF state ON stock_move FOR EACH ROW EXECUTE FUNCTION stock_picking_follow();

ANALYZE;
