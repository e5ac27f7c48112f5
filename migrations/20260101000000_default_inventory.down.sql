-- Locks: ACCESS EXCLUSIVE on the eight tables, which go with all that they hold.

DROP TABLE feature_flags, audit_logs, count_lines, count_sheets, inventory_ledger, locations, items, users;
