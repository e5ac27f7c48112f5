-- Forgets which partitions were closed, and which were archived.
-- Locks: ACCESS EXCLUSIVE on the tables that go.

DROP TABLE stockfoil.archived_partition;
DROP TABLE stockfoil.closing_partition;
