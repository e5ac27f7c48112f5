-- Entries of the ledger as examples, some of each of a few organizations: the values of their columns as texts, as they would be in
-- a new entry and in another one, and the key and the quantity of each posting. $1: how many organizations; $2: how many
-- entries of each.
-- Locks: ACCESS SHARE on ledger and organizations, which stops no writer.
WITH example AS MATERIALIZED (
    SELECT l.*
    FROM (SELECT o.id FROM {organizations} AS o WHERE EXISTS (SELECT FROM {ledger} AS l WHERE l.{org} = o.id) ORDER BY o.id LIMIT $1) AS o
    CROSS JOIN LATERAL (SELECT l.* FROM {ledger} AS l WHERE l.{org} = o.id LIMIT $2) AS l
)
SELECT ARRAY[{example.first}]::text[], ARRAY[{example.second}]::text[],
       p.org, p.item, p.location, p.lot, p.quantity
FROM example AS t
JOIN (
    SELECT {e.id} AS id, e.org::text AS org, {e.item}::text AS item, {e.location}::text AS location, {e.lot}::text AS lot,
           e.quantity::text AS quantity
    FROM (
{example.entries}
    ) AS e
) AS p ON p.id = {example.id}
ORDER BY p.org, p.id
