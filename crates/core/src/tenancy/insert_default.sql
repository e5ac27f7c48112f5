-- Locks: one row of organizations.
INSERT INTO {organizations} (id, name) VALUES ({id}, {name}) ON CONFLICT (id) DO NOTHING
