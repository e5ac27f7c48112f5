-- Rules of the tables: what they add to a statement runs as the table's owner. Locks: none.
WITH g AS ({given})
SELECT format('rule %s of %s', r.rulename, r.ev_class::regclass), false,
       format('runs as %s, who owns the table', c.relowner::regrole),
       format('DROP RULE %I ON %s; a trigger does the same as whoever writes', r.rulename, r.ev_class::regclass)
FROM g, pg_rewrite AS r
JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind IN ('r', 'p')
WHERE r.ev_class = ANY (g.tables)
ORDER BY 1
