-- Takes the entries of a partition from their balances before it is emptied: the entries of the others stay.
-- Locks: the rows of the balances that change, in key order; the TRUNCATE itself keeps writers of the partition out.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp{pinned} AS $body$
BEGIN
    -- A partition keeps its triggers when it is one no more.
    IF coalesce(pg_partition_root(TG_RELID), TG_RELID) <> to_regclass({ledger.text}) THEN
        RETURN NULL;
    END IF;
    -- A partitioned table has no rows of its own; each of its partitions comes here by itself.
    IF (SELECT relkind FROM pg_class WHERE oid = TG_RELID) = 'r' THEN
{mark}        EXECUTE replace({take_text}, {marker}, TG_RELID::regclass::text);
    END IF;
    RETURN NULL;
END
$body$
