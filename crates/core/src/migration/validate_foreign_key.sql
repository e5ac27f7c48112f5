-- Validates the foreign key onto organizations, whatever its name.
-- Locks: SHARE UPDATE EXCLUSIVE on the table, ROW SHARE on organizations; scans the table.
DO $$
DECLARE
    name text;
BEGIN
    SELECT k.conname INTO STRICT name FROM pg_constraint k
    WHERE k.contype = 'f' AND NOT k.convalidated
      AND k.conrelid = to_regclass({table_name}) AND k.confrelid = to_regclass({organizations_name})
      AND k.conkey = ARRAY(SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attname = {org_name});
    EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', {table_name}, name);
END
$$
