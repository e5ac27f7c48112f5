-- Whether a key of an update, `d`, is to be written. Not where its row of an adopted table went along with the entries, by a
-- key that cascades, whose triggers run after all of it: such a row is not made again where it was, and where it came to it
-- holds what its entries add up to.
-- Locks: ACCESS SHARE, which stops no writer.
SELECT CASE
    WHEN NOT EXISTS (SELECT FROM {balances} AS b WHERE {b.is_d})
    THEN EXISTS (SELECT FROM (
{entries}
         ) AS e
         WHERE e.org = d.org AND {e.item} = d.item AND {e.location} = d.location AND {e.lot} IS NOT DISTINCT FROM d.lot)
    -- Only the row of a key that all entries of this update have come to can have come with them, and only from a key that
    -- has neither entries nor a row any more.
    WHEN d.net > 0 AND EXISTS (
        SELECT
        FROM (
            SELECT DISTINCT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot
            FROM (
{old_entries}
            ) AS e
        ) AS d
        WHERE CASE
            WHEN EXISTS (SELECT FROM {balances} AS b WHERE {b.is_d}) THEN false
            ELSE NOT EXISTS (SELECT FROM (
{entries}
                 ) AS e
                 WHERE e.org = d.org AND {e.item} = d.item AND {e.location} = d.location
                   AND {e.lot} IS NOT DISTINCT FROM d.lot)
        END)
    THEN NOT EXISTS (SELECT FROM {balances} AS b WHERE {b.is_d} AND b.{balances.quantity} <> 0)
         OR d.net <> (SELECT count(*) FROM (
{entries}
             ) AS e
             WHERE e.org = d.org AND {e.item} = d.item AND {e.location} = d.location AND {e.lot} IS NOT DISTINCT FROM d.lot)
    ELSE true
END
{from_d}
