-- Tables that hold rows of organizations though no column of theirs says whose, as far as the catalog tells: those that refer to
-- the tables of scope, by as many others as lie between; those that a trigger of one of these writes; those with a column
-- that is called as the tables call what refers to one of them; and those that are called as what is made for one request or
-- person, which is a guess (is_guess). Locks: none.
WITH RECURSIVE s AS ({scope}), outside AS (
    SELECT c.oid, c.relname, c.relkind FROM s, pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND c.relpersistence <> 't' AND c.oid <> ALL (s.tables)
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'stockfoil') AND c.relname <> '_sqlx_migrations'
      AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = s.org AND NOT a.attisdropped)
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), referring (oid, referred) AS (
    SELECT k.conrelid, k.confrelid FROM s, pg_constraint AS k WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY (s.tables)
    UNION
    SELECT k.conrelid, k.confrelid
    FROM referring JOIN outside ON outside.oid = referring.oid
    JOIN pg_constraint AS k ON k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = referring.oid
), firing AS (
    -- What a trigger does is text; what it writes stands behind one of these words.
    SELECT DISTINCT t.tgrelid, t.tgname, p.prosrc
    FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND p.pronamespace IS DISTINCT FROM to_regnamespace('stockfoil')::oid
      AND (t.tgrelid = ANY ((SELECT s.tables FROM s)::oid[]) OR t.tgrelid IN (SELECT referring.oid FROM referring))
), named AS (
    -- How the tables name what refers to one of them: by their own keys' columns, and by the table's name in the singular.
    SELECT a.attname::text AS name, a.atttypid AS type, k.confrelid AS referred
    FROM s, pg_constraint AS k CROSS JOIN unnest(k.conkey) AS c (attnum)
    JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = c.attnum
    WHERE a.attname <> s.org AND k.contype = 'f' AND k.conrelid = ANY (s.tables) AND k.confrelid = ANY (s.tables) AND k.conrelid <> k.confrelid
    UNION
    SELECT name.name, a.atttypid, i.indrelid
    FROM s, pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indrelid
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    CROSS JOIN LATERAL (SELECT regexp_replace(c.relname, 's$', '') AS one) AS one
    CROSS JOIN LATERAL (VALUES (one.one || '_id'), (lower(left(one.one, 1)) || substr(one.one, 2) || 'Id')) AS name (name)
    WHERE i.indisprimary AND i.indrelid = ANY (s.tables) AND i.indnkeyatts = 1
), why (oid, why, is_guess) AS (
    SELECT r.oid, format('refers to rows of %s', string_agg(DISTINCT regexp_replace(r.referred::regclass::text, '^public\.', ''), ', ')), false
    FROM referring AS r GROUP BY r.oid
    UNION ALL
    SELECT o.oid, format('is written by trigger %s of %s', f.tgname, regexp_replace(f.tgrelid::regclass::text, '^public\.', '')), false
    FROM outside AS o
    JOIN firing AS f ON f.prosrc ~* ('\m(insert\s+into|update|delete\s+from|merge\s+into)\s+(only\s+)?("?\w+"?\.)?"?' || regexp_replace(o.relname, '(\W)', '\\\1', 'g') || '"?(\W|$)')
    UNION ALL
    SELECT o.oid, format('has a column %s, by which the tables refer to %s', a.attname, regexp_replace(n.referred::regclass::text, '^public\.', '')), false
    FROM outside AS o JOIN pg_attribute AS a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN named AS n ON n.name = a.attname AND n.type = a.atttypid
    WHERE o.oid NOT IN (SELECT referring.oid FROM referring)
    UNION ALL
    SELECT o.oid, 'is called as what is made for one person or request', true
    FROM outside AS o
    WHERE o.relname ~* '(^|_)(sessions?|outbox|inbox|queue|jobs?|events?|messages?|notifications?|uploads?|attachments?|history|carts?|tokens?)(_|$)'
)
SELECT o.oid, o.relkind, string_agg(DISTINCT w.why, ', and ') FILTER (WHERE NOT w.is_guess) AS why,
       bool_or(w.is_guess) AS is_guess
FROM outside AS o LEFT JOIN why AS w ON w.oid = o.oid
GROUP BY o.oid, o.relkind
