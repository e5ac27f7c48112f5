-- Records of Stockfoil's own objects (the tables {own_tables} among them) that they are closed, so that what is granted from
-- now on stays; by their addresses too, since one that is restored from a backup is another. Locks: the rows that it writes.
INSERT INTO stockfoil.change AS k (command, kind, schema_name, table_name, name, before)
SELECT 'privileges', 'grant', o.schema_name, o.name, 'closed', jsonb_agg(o.address ORDER BY o.address)
FROM ({own}) AS o
GROUP BY o.schema_name, o.name
ON CONFLICT (kind, schema_name, table_name, name) DO UPDATE SET before = EXCLUDED.before
WHERE k.before IS DISTINCT FROM EXCLUDED.before
