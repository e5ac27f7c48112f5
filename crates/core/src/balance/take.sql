-- Takes entries from their balances.
-- Locks: the rows of the balances that change, in key order.
{balances.add} (
    -- An entry that is not a number was never counted.
    SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, NULL::text AS ledger_id,
           -sum(e.quantity) FILTER (WHERE e.quantity > '-Infinity' AND e.quantity < 'Infinity') AS delta
    FROM (
{taken_entries}
    ) AS e
    GROUP BY 1, 2, 3, 4
) AS d
WHERE d.delta <> 0
  -- An adopted row that went with what it is of, by a key that cascades, is not made again for entries that went with it: the
  -- cascade's triggers run after all of it.
  AND ({always} OR EXISTS (SELECT FROM {balances} AS b WHERE {b.is_d})
       OR EXISTS (SELECT FROM (
{entries}
          ) AS e
          WHERE e.org = d.org AND {e.item} = d.item AND {e.location} = d.location AND {e.lot} IS NOT DISTINCT FROM d.lot)){balances.added}
