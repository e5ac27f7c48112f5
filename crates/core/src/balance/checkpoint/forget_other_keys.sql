-- Removes what was sealed and marked where its keys have other types, which another mapping had: the next run seals again.
-- Locks: ACCESS EXCLUSIVE on reconciliation's own tables, where they go.
DO $body$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid IN (to_regclass('stockfoil.checkpoint_sum'), to_regclass('stockfoil.checkpoint_total'), to_regclass('stockfoil.dirty_key'))
          AND NOT a.attisdropped
          AND format_type(a.atttypid, NULL) <> CASE a.attname WHEN 'org' THEN '{org.type}' WHEN 'item' THEN '{item.type}'
                  WHEN 'location' THEN '{location.type}' WHEN 'lot' THEN '{lot.type}' ELSE format_type(a.atttypid, NULL) END)
    THEN
        DROP TABLE IF EXISTS stockfoil.checkpoint_sum, stockfoil.checkpoint_total, stockfoil.dirty_key;
        DELETE FROM stockfoil.checkpoint;
    END IF;
END
$body$
