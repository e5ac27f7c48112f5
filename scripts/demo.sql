-- A year of a mining supplier's inventory as its application left it: one company, three sites, no organizations.
-- Deterministic but for the day it ends on: every choice is a hash of a row's number.
-- Locks: rows of its own; run it on tables that are empty.

\set ON_ERROR_STOP on
\set entries 250000
BEGIN;

-- A number from 0 up to (not including) 1, always the same for the same row and purpose.
CREATE FUNCTION pg_temp.chance(n bigint, purpose bigint) RETURNS double precision LANGUAGE sql IMMUTABLE
RETURN (hashint8extended(n, purpose) & 1048575) / 1048576.0;

CREATE FUNCTION pg_temp.id(kind text, n bigint) RETURNS text LANGUAGE sql IMMUTABLE
RETURN kind || '-' || lpad(n::text, CASE kind WHEN 'entry' THEN 6 WHEN 'audit' THEN 5 WHEN 'location' THEN 2 WHEN 'user' THEN 2 ELSE 4 END, '0');

CREATE TEMP TABLE calendar AS SELECT date_trunc('day', now()) - interval '365 days' AS first_day;

INSERT INTO users (id, email, name, role, created_at)
SELECT pg_temp.id('user', n),
       lower(first_name) || '.' || lower(last_name) || '@'
           || CASE WHEN n <= 14 THEN 'acme.example' WHEN n <= 22 THEN 'globex.example' ELSE 'contractor.example' END,
       first_name || ' ' || last_name,
       CASE WHEN n IN (1, 15) THEN 'admin' WHEN n % 5 = 0 THEN 'manager' ELSE 'member' END,
       first_day - interval '30 days'
FROM calendar, generate_series(1, 25) AS n,
     LATERAL (SELECT (ARRAY['Ada','Boris','Chen','Dalia','Emeka','Freya','Goran','Hana','Idris','Jana','Kofi','Lena','Mateo'])[1 + n % 13] AS first_name,
                     (ARRAY['Okafor','Lindqvist','Moreno','Novak','Petrov','Quispe','Reyes'])[1 + n % 7] AS last_name) AS names;

INSERT INTO locations (id, site, name, created_at)
SELECT pg_temp.id('location', row_number() OVER (ORDER BY site, name)), site, name, first_day - interval '30 days'
FROM calendar,
     unnest(ARRAY['Kiruna Mine', 'Lulea Port', 'Skelleftea Smelter']) AS site,
     unnest(ARRAY['Main Store', 'Workshop', 'Yard', 'Bulk Tanks']) AS name;

INSERT INTO items (id, item_number, name, unit, is_active, created_at)
SELECT pg_temp.id('item', n),
       (ARRAY['BRG','FLT','HYD','CHM','FUE','BLT','PPE','DRL'])[1 + n % 8] || '-' || lpad(n::text, 5, '0'),
       (ARRAY['Bearing','Filter','Hydraulic seal','Flotation reagent','Diesel additive','Hex bolt','Safety gloves','Drill bit'])[1 + n % 8]
           || ' ' || (ARRAY['A','B','C','D','E'])[1 + n % 5] || n,
       (ARRAY['ea','ea','ea','kg','l','ea','pair','ea'])[1 + n % 8],
       n % 40 <> 0,
       first_day - interval '20 days'
FROM calendar, generate_series(1, 400) AS n;

-- What is stocked where: each item in a few places; reagents and additives by lot, a new one each two months.
CREATE TEMP TABLE stocked AS
SELECT row_number() OVER (ORDER BY item, place, lot) AS n, item, place, lot,
       CASE item % 8 WHEN 3 THEN 'kg' WHEN 4 THEN 'l' ELSE 'ea' END AS unit
FROM generate_series(1, 400) AS item,
     generate_series(1, 12) AS place,
     generate_series(0, CASE WHEN item % 8 IN (3, 4) THEN 5 ELSE 0 END) AS lot
WHERE pg_temp.chance(item * 12 + place, 1) < 0.35;

INSERT INTO inventory_ledger (id, item_id, location_id, lot_id, qty_canonical, entry_type, reference, note, created_by, created_at)
SELECT pg_temp.id('entry', n),
       pg_temp.id('item', item),
       pg_temp.id('location', place),
       CASE WHEN unit <> 'ea' THEN 'LOT-' || lpad(item::text, 3, '0') || '-' || lot END,
       CASE unit WHEN 'ea' THEN quantity WHEN 'kg' THEN round(quantity * 1.125, 3) ELSE round(quantity * 3.785412, 6) END,
       entry_type,
       CASE entry_type WHEN 'receipt' THEN 'PO-' WHEN 'issue' THEN 'WO-' WHEN 'transfer' THEN 'TR-' ELSE 'CS-' END
           || lpad((n / 7)::text, 6, '0'),
       CASE WHEN pg_temp.chance(n, 9) < 0.02 THEN 'checked by hand' END,
       pg_temp.id('user', 1 + (pg_temp.chance(n, 8) * 25)::int % 25),
       happened
FROM (
    -- Every place starts with stock; then receipts, issues, transfers and corrections, the popular items more often.
    SELECT n, item, place, lot, unit, 'receipt' AS entry_type, 200 + floor(pg_temp.chance(n, 2) * 400)::numeric AS quantity,
           first_day + lot * interval '60 days' + pg_temp.chance(n, 3) * interval '8 hours' AS happened
    FROM calendar, stocked
    UNION ALL
    SELECT entry.n, item, place, lot, unit, kind,
           CASE kind WHEN 'receipt' THEN 20 + floor(pg_temp.chance(entry.n, 4) * 80)
                     WHEN 'issue' THEN -1 - floor(pg_temp.chance(entry.n, 4) * 15)
                     WHEN 'transfer' THEN floor(pg_temp.chance(entry.n, 4) * 21) - 10
                     ELSE floor(pg_temp.chance(entry.n, 4) * 7) - 3 END::numeric,
           first_day + lot * interval '60 days'
               + pg_temp.chance(entry.n, 5) * (interval '365 days' - lot * interval '60 days')
    FROM calendar,
         (SELECT count(*) AS total FROM stocked) AS size,
         generate_series(total + 1, :entries) AS entry(n),
         LATERAL (SELECT 1 + floor(total * power(pg_temp.chance(entry.n, 6), 1.7))::bigint AS chosen,
                         pg_temp.chance(entry.n, 7) AS share) AS draw,
         LATERAL (SELECT CASE WHEN share < 0.15 THEN 'receipt' WHEN share < 0.75 THEN 'issue'
                              WHEN share < 0.95 THEN 'transfer' ELSE 'adjustment' END AS kind) AS kinds,
         stocked
    WHERE stocked.n = chosen
) AS movements
ORDER BY happened, n;

INSERT INTO count_sheets (id, count_number, location_id, status, counted_by, created_at)
SELECT pg_temp.id('sheet', n), 'CNT-' || lpad(n::text, 4, '0'), pg_temp.id('location', 1 + n % 12),
       CASE WHEN n > 142 THEN 'draft' WHEN n > 138 THEN 'submitted' ELSE 'approved' END,
       pg_temp.id('user', 1 + n % 25), first_day + n * interval '58 hours'
FROM calendar, generate_series(1, 150) AS n;

INSERT INTO count_lines (id, count_sheet_id, item_id, lot_id, qty_counted, created_at)
SELECT pg_temp.id('line', (sheet - 1) * 20 + line), pg_temp.id('sheet', sheet), pg_temp.id('item', item),
       CASE WHEN item % 8 IN (3, 4) THEN 'LOT-' || lpad(item::text, 3, '0') || '-0' END,
       floor(pg_temp.chance(sheet * 100 + line, 10) * 500), first_day + sheet * interval '58 hours'
FROM calendar, generate_series(1, 150) AS sheet, generate_series(1, 20) AS line,
     LATERAL (SELECT 1 + (sheet * 37 + line * 19) % 400 AS item) AS counted;

INSERT INTO audit_logs (id, user_id, action, entity, entity_id, details, created_at)
SELECT pg_temp.id('audit', n), pg_temp.id('user', 1 + n % 25),
       (ARRAY['create','update','login','approve'])[1 + n % 4],
       (ARRAY['inventory_ledger','items','users','count_sheets'])[1 + n % 4],
       CASE n % 4 WHEN 0 THEN pg_temp.id('entry', n) WHEN 1 THEN pg_temp.id('item', 1 + n % 400)
                  WHEN 3 THEN pg_temp.id('sheet', 1 + n % 150) END,
       jsonb_build_object('ip', '10.0.' || n % 4 || '.' || n % 250),
       first_day + pg_temp.chance(n, 11) * interval '365 days'
FROM calendar, generate_series(1, 20000) AS n;

INSERT INTO feature_flags (id, key, enabled, created_at)
SELECT pg_temp.id('flag', n), key, n % 2 = 0, first_day
FROM calendar, unnest(ARRAY['barcode_scanning','lot_tracking','dark_mode','count_approval','api_v2','exports'])
     WITH ORDINALITY AS flags(key, n);

COMMIT;
ANALYZE;
