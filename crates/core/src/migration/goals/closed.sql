-- Each of Stockfoil's own objects, the tables {own_tables} among them, is recorded as closed.
-- Locks: ACCESS SHARE on the memory.
SELECT NOT EXISTS (
    SELECT FROM ({own}) AS o
    WHERE NOT EXISTS (SELECT FROM stockfoil.change AS k
                      WHERE k.kind = 'grant' AND k.name = 'closed' AND (k.schema_name, k.table_name) = (o.schema_name, o.name)
                        AND {is_same}))
