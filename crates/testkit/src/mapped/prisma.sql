-- An inventory as an application over an object mapper makes it: quoted camel-case names, uuid keys, times without
-- a zone, unique indexes rather than unique constraints, enums.
-- The content is the same in each database: it comes from hashes of counters, not from chance.

CREATE TYPE "Role" AS ENUM ('ADMIN', 'PLANNER', 'MEMBER');
CREATE TYPE "MovementType" AS ENUM ('RECEIPT', 'ISSUE', 'TRANSFER', 'ADJUSTMENT');

CREATE TABLE "User" (
    "id"        uuid NOT NULL DEFAULT gen_random_uuid(),
    "email"     text NOT NULL,
    "fullName"  text NOT NULL,
    "role"      "Role" NOT NULL DEFAULT 'MEMBER',
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "User_email_key" ON "User" ("email");

CREATE TABLE "Item" (
    "id"         uuid NOT NULL DEFAULT gen_random_uuid(),
    "sku"        text NOT NULL,
    "name"       text NOT NULL,
    "baseUnit"   text NOT NULL DEFAULT 'pcs',
    "attributes" jsonb NOT NULL DEFAULT '{}',
    "archivedAt" timestamp(3),
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "Item_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "Item_sku_key" ON "Item" ("sku");
-- Case does not tell two live items apart; archived ones may share a name.
CREATE UNIQUE INDEX "Item_name_live_key" ON "Item" (lower("name")) WHERE "archivedAt" IS NULL;

CREATE TABLE "Location" (
    "id"        uuid NOT NULL DEFAULT gen_random_uuid(),
    "siteCode"  text NOT NULL,
    "name"      text NOT NULL,
    "parentId"  uuid,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "Location_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Location_parentId_fkey" FOREIGN KEY ("parentId") REFERENCES "Location" ("id")
        ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "Location_siteCode_name_key" ON "Location" ("siteCode", "name");

CREATE TABLE "Lot" (
    "id"        uuid NOT NULL DEFAULT gen_random_uuid(),
    "itemId"    uuid NOT NULL,
    "lotNumber" text NOT NULL,
    "expiresAt" timestamp(3),
    CONSTRAINT "Lot_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Lot_itemId_fkey" FOREIGN KEY ("itemId") REFERENCES "Item" ("id") ON DELETE RESTRICT ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "Lot_itemId_lotNumber_key" ON "Lot" ("itemId", "lotNumber");

CREATE TABLE "StockMovement" (
    "id"          uuid NOT NULL DEFAULT gen_random_uuid(),
    "itemId"      uuid NOT NULL,
    "locationId"  uuid NOT NULL,
    "lotId"       uuid,
    "quantity"    numeric(65, 30) NOT NULL,
    "type"        "MovementType" NOT NULL DEFAULT 'ADJUSTMENT',
    "reference"   text,
    "createdById" uuid,
    "createdAt"   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "StockMovement_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "StockMovement_itemId_fkey" FOREIGN KEY ("itemId") REFERENCES "Item" ("id")
        ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "StockMovement_locationId_fkey" FOREIGN KEY ("locationId") REFERENCES "Location" ("id")
        ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "StockMovement_lotId_fkey" FOREIGN KEY ("lotId") REFERENCES "Lot" ("id")
        ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "StockMovement_createdById_fkey" FOREIGN KEY ("createdById") REFERENCES "User" ("id")
        ON DELETE SET NULL ON UPDATE CASCADE
);
COMMENT ON COLUMN "StockMovement"."quantity" IS 'Signed, in the item''s base unit: receipts are positive.';
CREATE INDEX "StockMovement_itemId_locationId_idx" ON "StockMovement" ("itemId", "locationId");
CREATE INDEX "StockMovement_createdAt_idx" ON "StockMovement" ("createdAt");
-- A delivery is booked once.
CREATE UNIQUE INDEX "StockMovement_reference_itemId_key" ON "StockMovement" ("reference", "itemId")
    WHERE "type" = 'RECEIPT' AND "reference" IS NOT NULL;

CREATE TABLE "StockCount" (
    "id"          uuid NOT NULL DEFAULT gen_random_uuid(),
    "number"      text NOT NULL,
    "locationId"  uuid NOT NULL,
    "countedById" uuid,
    "closedAt"    timestamp(3),
    CONSTRAINT "StockCount_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "StockCount_locationId_fkey" FOREIGN KEY ("locationId") REFERENCES "Location" ("id")
        ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "StockCount_countedById_fkey" FOREIGN KEY ("countedById") REFERENCES "User" ("id")
        ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "StockCount_number_key" ON "StockCount" ("number");

CREATE TABLE "StockCountLine" (
    "id"           uuid NOT NULL DEFAULT gen_random_uuid(),
    "stockCountId" uuid NOT NULL,
    "itemId"       uuid NOT NULL,
    "lotId"        uuid,
    "counted"      numeric(65, 30) NOT NULL,
    CONSTRAINT "StockCountLine_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "StockCountLine_stockCountId_fkey" FOREIGN KEY ("stockCountId") REFERENCES "StockCount" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "StockCountLine_itemId_fkey" FOREIGN KEY ("itemId") REFERENCES "Item" ("id")
        ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "StockCountLine_lotId_fkey" FOREIGN KEY ("lotId") REFERENCES "Lot" ("id")
        ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "StockCountLine_stockCountId_itemId_lotId_key"
    ON "StockCountLine" ("stockCountId", "itemId", "lotId") NULLS NOT DISTINCT;

CREATE TABLE "AuditEvent" (
    "id"       uuid NOT NULL DEFAULT gen_random_uuid(),
    "userId"   uuid,
    "action"   text NOT NULL,
    "entity"   text NOT NULL,
    "entityId" uuid NOT NULL,
    "at"       timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "AuditEvent_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "AuditEvent_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id")
        ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "AuditEvent_entity_entityId_idx" ON "AuditEvent" ("entity", "entityId");

-- The object mapper's own journal belongs to no organization.
CREATE TABLE "_prisma_migrations" (
    "id"                  varchar(36) NOT NULL PRIMARY KEY,
    "checksum"            varchar(64) NOT NULL,
    "migration_name"      varchar(255) NOT NULL,
    "finished_at"         timestamptz,
    "applied_steps_count" integer NOT NULL DEFAULT 0
);
INSERT INTO "_prisma_migrations" VALUES
    ('6b1f0c2e-0000-4000-8000-000000000001', md5('init') || md5('init'), '20240102030405_init', '2024-01-02 03:05Z', 1);

CREATE VIEW "StockOnHand" AS
SELECT m."itemId", m."locationId", m."lotId", sum(m."quantity") AS "quantity", max(m."createdAt") AS "lastMovedAt"
FROM "StockMovement" m
GROUP BY m."itemId", m."locationId", m."lotId";

CREATE FUNCTION "touchUpdatedAt"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW."updatedAt" := CURRENT_TIMESTAMP;
    RETURN NEW;
END
$$;
CREATE TRIGGER "Item_touch" BEFORE UPDATE ON "Item" FOR EACH ROW EXECUTE FUNCTION "touchUpdatedAt"();

INSERT INTO "User" ("id", "email", "fullName", "role")
SELECT md5('user ' || n)::uuid, format('user%s@%s', n, CASE WHEN n % 3 = 0 THEN 'acme.example' ELSE 'home.example' END),
       'User ' || n, (ARRAY['ADMIN', 'PLANNER', 'MEMBER'])[1 + n % 3]::"Role"
FROM generate_series(1, 30) AS n;

INSERT INTO "Item" ("id", "sku", "name", "baseUnit", "attributes")
SELECT md5('item ' || n)::uuid, 'SKU-' || lpad(n::text, 5, '0'), 'Item no. ' || n,
       (ARRAY['pcs', 'kg', 'm'])[1 + n % 3], jsonb_build_object('colour', (ARRAY['red', 'grün', 'blue'])[1 + n % 3])
FROM generate_series(1, 120) AS n;

INSERT INTO "Location" ("id", "siteCode", "name", "parentId")
SELECT md5('location ' || n)::uuid, 'S' || 1 + n % 3, 'Rack ' || n, CASE WHEN n > 4 THEN md5('location ' || 1 + n % 4)::uuid END
FROM generate_series(1, 16) AS n;

INSERT INTO "Lot" ("id", "itemId", "lotNumber", "expiresAt")
SELECT md5('lot ' || n)::uuid, md5('item ' || 1 + n % 120)::uuid, 'L' || n, timestamp '2027-01-01' + n * interval '1 day'
FROM generate_series(1, 240) AS n;

-- An item with lots has one in two of three movements: lot n belongs to item 1 + n % 120.
INSERT INTO "StockMovement" ("id", "itemId", "locationId", "lotId", "quantity", "type", "reference", "createdById", "createdAt")
SELECT md5('movement ' || n)::uuid, md5('item ' || 1 + h.item)::uuid, md5('location ' || 1 + n % 16)::uuid,
       CASE WHEN n % 3 > 0 THEN md5('lot ' || CASE WHEN h.item = 0 THEN 120 ELSE h.item END)::uuid END,
       CASE WHEN n % 5 < 3 THEN 1 ELSE -1 END * (1 + abs(hashint4(n)::bigint) % 40000) / 1000.0,
       (ARRAY['RECEIPT', 'RECEIPT', 'TRANSFER', 'ISSUE', 'ISSUE'])[1 + n % 5]::"MovementType",
       CASE WHEN n % 7 > 0 THEN 'DN-' || n END, md5('user ' || 1 + n % 30)::uuid,
       timestamp '2025-01-01' + n * interval '97 minutes'
FROM generate_series(1, 5000) AS n, LATERAL (SELECT (n * 31) % 120 AS item) AS h;

INSERT INTO "StockCount" ("id", "number", "locationId", "countedById")
SELECT md5('count ' || n)::uuid, 'C-' || n, md5('location ' || 1 + n % 16)::uuid, md5('user ' || 1 + n % 30)::uuid
FROM generate_series(1, 40) AS n;

INSERT INTO "StockCountLine" ("stockCountId", "itemId", "lotId", "counted")
SELECT md5('count ' || 1 + n % 40)::uuid, md5('item ' || 1 + n / 40)::uuid, NULL, n * 0.25
FROM generate_series(1, 1200) AS n;

INSERT INTO "AuditEvent" ("userId", "action", "entity", "entityId")
SELECT md5('user ' || 1 + n % 30)::uuid, 'update', 'Item', md5('item ' || 1 + n % 120)::uuid
FROM generate_series(1, 800) AS n;

-- From here on each movement leaves its trace.
CREATE FUNCTION "auditMovement"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO "AuditEvent" ("userId", "action", "entity", "entityId")
    VALUES (NEW."createdById", lower(TG_OP), 'StockMovement', NEW."id");
    RETURN NEW;
END
$$;
CREATE TRIGGER "StockMovement_audit" AFTER INSERT OR UPDATE ON "StockMovement"
    FOR EACH ROW EXECUTE FUNCTION "auditMovement"();

ANALYZE;
