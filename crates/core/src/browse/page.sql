-- One page of a relation, each cell as text. The limit applies before cells and labels are computed.
-- Locks: ACCESS SHARE on the relation and on those that its foreign keys reference.
SELECT {cells}
FROM (SELECT {columns} FROM {relation} AS t WHERE {conditions} {order} LIMIT {limit} OFFSET {offset}) AS t
{order}
