-- What is sealed of the entries below the watermark: a row for each, or for several of a key that were summed. A key's sum
-- is that of its rows. Without a key of its own the table costs little to add to, and most runs do no more.
-- Count and hash tell changes that cancel out.
-- Locks: takes only what it creates.
CREATE TABLE IF NOT EXISTS stockfoil.checkpoint_sum (
    org      {org.type} NOT NULL,
    item     {item.type} NOT NULL,
    location {location.type} NOT NULL,
    lot      {lot.type},
    quantity numeric NOT NULL,
    entries  bigint NOT NULL,
    hash     bigint NOT NULL
)
