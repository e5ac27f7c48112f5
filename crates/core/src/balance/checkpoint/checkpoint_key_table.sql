-- The sealed sums, one row a key: of the entries below the watermark. Count and hash tell changes that cancel out.
-- Locks: takes only what it creates.
CREATE TABLE IF NOT EXISTS stockfoil.checkpoint_key (
    org      {org.type} NOT NULL,
    item     {item.type} NOT NULL,
    location {location.type} NOT NULL,
    lot      {lot.type},
    quantity numeric NOT NULL,
    entries  bigint NOT NULL,
    hash     bigint NOT NULL,
    UNIQUE NULLS NOT DISTINCT (org, item, location, lot)
)
