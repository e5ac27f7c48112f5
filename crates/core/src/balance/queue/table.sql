-- What writers put aside for balances that other writers held. A row is only ever inserted and deleted: it has no key of its
-- own, and is told from others by all of it where a publication of all tables publishes it.
-- Locks: SHARE ROW EXCLUSIVE on organizations for the foreign key, for a moment; takes else only what it creates.
CREATE TABLE IF NOT EXISTS stockfoil.balance_queue (
    org      {org.type} NOT NULL REFERENCES {organizations} (id) ON DELETE CASCADE,
    item     {item.type} NOT NULL,
    location {location.type} NOT NULL,
    lot      {lot.type},
    lot_key  text NOT NULL CHECK (lot_key = coalesce(lot::text, '')),
    delta    numeric NOT NULL CHECK (delta > '-Infinity' AND delta < 'Infinity')
-- Rows come and go all day, so it is vacuumed often; giving its end back to the system would need a lock that stops writers.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, vacuum_truncate = off)
