-- Locks: ACCESS EXCLUSIVE on Stockfoil's own tables, which go with all that they hold.

DROP TABLE stockfoil.alert_state, stockfoil.backfill, stockfoil.finding, stockfoil.run;
DROP SCHEMA stockfoil;
