-- Nothing is known of applied versions any more: only for taking all of them back.
-- Locks: ACCESS EXCLUSIVE on stockfoil.migration, which goes.

DROP TABLE IF EXISTS stockfoil.migration;
