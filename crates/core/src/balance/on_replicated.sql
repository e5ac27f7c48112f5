-- Takes one row's old entries from their balances and gives its new ones to theirs, where replication applied it: that
-- fires no statement trigger. What is not a number is not counted, and not refused either: replication would stand still.
-- Locks: the rows of the balances that change, in key order, until the transaction that applies it ends.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp{pinned} AS $body$
BEGIN
    -- A partition keeps its triggers when it is one no more.
    IF coalesce(pg_partition_root(TG_RELID), TG_RELID) <> to_regclass({ledger.text}) THEN
        RETURN NULL;
    END IF;
{mark}    {balances.add} (
        SELECT e.org, e.item, e.location, e.lot, {e.last_id} AS ledger_id,
               coalesce(sum(e.direction * e.quantity) FILTER (WHERE e.finite), 0) AS delta,
               min(e.direction) > 0 AS only_new
        FROM (
{moved_entries}
        ) AS e
        GROUP BY 1, 2, 3, 4
    ) AS d
    WHERE d.delta <> 0 OR d.only_new{balances.added};
    RETURN NULL;
END
$body$
