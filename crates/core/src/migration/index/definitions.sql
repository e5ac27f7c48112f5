-- What each index of table $1 is: its access method, what stands behind the opening parenthesis of its definition, and when
-- it is checked, if it is unique. Locks: none.
SELECT i.indexrelid, am.amname::text AS method,
       -- The definition begins with names only, so their quoted length says where the columns begin.
       substr(pg_get_indexdef(i.indexrelid), 1 + length(format('CREATE %sINDEX %I ON %s%I.%I USING %I (',
           CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname, CASE WHEN c.relkind = 'I' THEN 'ONLY ' ELSE '' END,
           n.nspname, t.relname, am.amname))) AS tail,
       CASE WHEN i.indimmediate THEN 'immediate'
            WHEN EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x') AND k.condeferred) THEN 'deferred'
            ELSE 'deferrable' END AS timing
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_am AS am ON am.oid = c.relam
WHERE i.indrelid = to_regclass($1)
