-- Adds the new entries to their balances, a key at a time, in one order for everybody, so that writers of many keys don't
-- wait for each other in a circle.
-- Locks: the rows of those balances, in key order, until the writer's transaction ends.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp{pinned} AS $body$
BEGIN
    -- A partition keeps its triggers when it is one no more.
    IF coalesce(pg_partition_root(TG_RELID), TG_RELID) <> to_regclass({ledger.text}) THEN
        RETURN NULL;
    END IF;
{mark}    {balances.add} (
        SELECT s.org, s.item, s.location, s.lot, s.ledger_id,
               CASE WHEN s.delta > '-Infinity' AND s.delta < 'Infinity' THEN s.delta
                    ELSE {refuse}(s.delta, s.org::text, s.item::text, s.location::text, s.lot::text) END AS delta
        FROM (
            SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot,
                   coalesce(sum(e.quantity), 0) AS delta, {e.last_id} AS ledger_id
            FROM (
{new_entries}
            ) AS e
            GROUP BY 1, 2, 3, 4
        ) AS s
    ) AS d{balances.added};
    RETURN NULL;
END
$body$
