-- Takes the old entries from their balances and gives the new ones to theirs. A key that nothing changes for is
-- left alone, unless it had no entry before: then it gets its row.
-- Locks: the rows of the balances that change, in key order, until the writer's transaction ends.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp{pinned} AS $body$
BEGIN
    -- A partition keeps its triggers when it is one no more.
    IF coalesce(pg_partition_root(TG_RELID), TG_RELID) <> to_regclass({ledger.text}) THEN
        RETURN NULL;
    END IF;
{mark}    {balances.add} (
        SELECT s.org, s.item, s.location, s.lot, s.ledger_id,{s.net}
               CASE WHEN s.odd <= 0 THEN s.delta
                    ELSE {refuse}(s.newest, s.org::text, s.item::text, s.location::text, s.lot::text) END AS delta
        FROM (
            -- An old entry that is not a number was never counted; keeping it is allowed, adding one is not.
            SELECT e.org, e.item, e.location, e.lot,
                   coalesce(sum(e.direction * e.quantity) FILTER (WHERE e.finite), 0) AS delta,
                   coalesce(sum(e.direction) FILTER (WHERE NOT e.finite), 0) AS odd,
                   max(e.quantity) FILTER (WHERE e.direction > 0 AND NOT e.finite) AS newest,
                   {e.last_id} AS ledger_id,
                   min(e.direction) > 0 AS only_new{net}
            FROM (
{moved_entries}
            ) AS e
            GROUP BY 1, 2, 3, 4
        ) AS s
        WHERE s.delta <> 0 OR s.odd > 0 OR s.only_new
    ) AS d{uncarried}{balances.added};
{left_alone}    RETURN NULL;
END
$body$
