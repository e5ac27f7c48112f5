-- Takes what goes from the balances: the deleted entries from theirs, or all where the ledger was emptied. A balance
-- keeps its row when its last entry is deleted: whoever writes the key at the same time must find it. Repairs under way
-- notice the file of an emptied ledger and start again.
-- Locks: the rows of the balances that change, in key order, until the writer's transaction ends; after a TRUNCATE, which
-- keeps all writers of the ledger out itself, every row.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp{pinned} AS $body$
BEGIN
    -- A partition keeps its triggers when it is one no more.
    IF coalesce(pg_partition_root(TG_RELID), TG_RELID) <> to_regclass({ledger.text}) THEN
        RETURN NULL;
    END IF;
{mark}{remove};
{left_alone}    RETURN NULL;
END
$body$
