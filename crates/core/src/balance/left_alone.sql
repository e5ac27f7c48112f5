-- Rows for the keys of an adopted table that have neither a row nor an entry any more. They are never kept: what is wanted is the
-- conflict with a row that the snapshot of this transaction does not show.
-- Locks: nothing that stays.
INSERT INTO {balances} ({balances.drift_columns})
SELECT {balances.drift_values}
FROM (
    SELECT DISTINCT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, 0::numeric AS delta
    FROM (
{old_entries}
    ) AS e
) AS d
-- Entries are looked for only where there is no row, which is seldom.
WHERE CASE
    WHEN EXISTS (SELECT FROM {balances} AS b WHERE {b.is_d}) THEN false
    ELSE NOT EXISTS (SELECT FROM (
{entries}
         ) AS e
         WHERE e.org = d.org AND {e.item} = d.item AND {e.location} = d.location AND {e.lot} IS NOT DISTINCT FROM d.lot)
END
ORDER BY {d.order}
ON CONFLICT ({balances.conflict}){balances.where} DO NOTHING
