-- Foreign keys of the tables onto others, which belong to no organization: deleting a row there, or changing its key, takes the
-- rows of every organization along, behind row-level security, or is refused where any organization has one, which tells that.
-- Who may set that off, on that table or on one whose own keys lead to it, is asked of the application's role and of each
-- login. Locks: none.
WITH RECURSIVE g AS ({given}), reach AS MATERIALIZED ({reach}),
-- By which change of which table's rows a key is set off; of an update, the columns.
sets_off (key, rel, event, columns, is_asked) AS (
    SELECT k.oid, k.confrelid, e.event, CASE e.event WHEN 'UPDATE' THEN k.confkey END, e.action IN ('a', 'r')
    FROM g, pg_constraint AS k
    CROSS JOIN LATERAL (VALUES ('DELETE', k.confdeltype), ('UPDATE', k.confupdtype)) AS e (event, action)
    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY (g.tables) AND k.confrelid <> ALL (g.tables)
    UNION
    SELECT s.key, k.confrelid, e.event, CASE e.event WHEN 'UPDATE' THEN k.confkey END, s.is_asked
    FROM sets_off AS s
    JOIN pg_constraint AS k ON k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = s.rel
    CROSS JOIN LATERAL (VALUES ('DELETE', k.confdeltype, coalesce(k.confdelsetcols, k.conkey)), ('UPDATE', k.confupdtype, k.conkey)) AS e (event, action, changed)
    WHERE CASE WHEN s.event = 'DELETE' THEN e.event = 'DELETE' AND e.action = 'c'
               ELSE s.columns && e.changed AND (e.action IN ('n', 'd') OR (e.action = 'c' AND e.event = 'UPDATE')) END
), may AS (
    SELECT DISTINCT s.key, s.is_asked, s.rel, s.event, h.grantee, h.column_name, h.is_owner, s.columns
    FROM sets_off AS s
    JOIN pg_class AS c ON c.oid = s.rel
    CROSS JOIN LATERAL (
        SELECT a.grantee, NULL::name AS column_name, false AS is_owner FROM aclexplode(c.relacl) AS a WHERE a.privilege_type = s.event AND a.grantee <> c.relowner
        UNION ALL
        SELECT a.grantee, k.attname, false FROM pg_attribute AS k, aclexplode(k.attacl) AS a
        WHERE k.attrelid = c.oid AND k.attnum = ANY (s.columns) AND a.privilege_type = s.event AND a.grantee <> c.relowner
        UNION ALL
        SELECT c.relowner, NULL, true
        UNION ALL
        SELECT p.oid, NULL, false FROM pg_roles AS p WHERE p.rolname = 'pg_write_all_data'
    ) AS h
), administers AS (
    SELECT DISTINCT reach.login
    FROM g, reach JOIN pg_roles AS m ON m.oid = reach.role
    WHERE (reach.becomes AND (m.rolsuper OR m.rolbypassrls)) OR m.oid = ANY (g.owners) OR m.oid = g.ops
), who AS (
    SELECT may.key, may.is_asked,
           format('%s may %s %s', CASE WHEN may.grantee = 0 THEN 'everybody' ELSE l.rolname END, may.event, may.rel::regclass) AS what,
           CASE WHEN may.is_owner THEN format('ALTER TABLE %s OWNER TO %s', may.rel::regclass,
                coalesce((SELECT quote_ident(pg_get_userbyid(d.datdba)) FROM pg_database AS d WHERE d.datname = current_database() AND NOT pg_has_role(may.grantee, d.datdba, 'MEMBER')), 'another role'))
                WHEN b.rolname = 'pg_write_all_data' THEN format('REVOKE pg_write_all_data FROM %I', l.rolname)
                WHEN may.column_name IS NOT NULL THEN format('REVOKE %s (%I) ON %s FROM %s', may.event, may.column_name, may.rel::regclass, h.name)
                ELSE format('REVOKE %s ON %s FROM %s', may.event, may.rel::regclass, h.name) || CASE WHEN may.event = 'UPDATE' THEN coalesce((
                    SELECT format('; GRANT UPDATE (%s) ON %s TO %s', string_agg(quote_ident(k.attname), ', ' ORDER BY k.attnum), may.rel::regclass, h.name)
                    FROM pg_attribute AS k
                    WHERE k.attrelid = may.rel AND k.attnum > 0 AND NOT k.attisdropped AND k.attnum <> ALL (may.columns)), '') ELSE '' END
           END AS remedy
    FROM g, may
    LEFT JOIN pg_roles AS b ON b.oid = may.grantee
    CROSS JOIN LATERAL (SELECT CASE WHEN may.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(b.rolname) END AS name) AS h
    LEFT JOIN reach ON reach.role = may.grantee
    LEFT JOIN pg_roles AS l ON l.oid = reach.login
    WHERE may.grantee = 0 OR (CASE WHEN EXISTS (SELECT FROM reach AS a WHERE a.login = g.app AND a.role = may.grantee) THEN l.oid = g.app ELSE l.rolcanlogin END
                                AND l.oid NOT IN (SELECT login FROM administers))
)
SELECT format('foreign key %s of %s', k.conname, k.conrelid::regclass), what IS NULL AND asked IS NULL,
       format('%s%s, which belongs to no organization%s%s',
              coalesce(nullif(concat_ws(' and ', CASE WHEN k.confdeltype IN ('c', 'n', 'd') THEN 'ON DELETE ' || actions.words[strpos('cnd', k.confdeltype::text)] END,
                                 CASE WHEN k.confupdtype IN ('c', 'n', 'd') THEN 'ON UPDATE ' || actions.words[strpos('cnd', k.confupdtype::text)] END), '') || ' from ', 'refers to '),
              k.confrelid::regclass, coalesce('; ' || what || ', and with it go rows of every organization', CASE WHEN asked IS NULL THEN '; nobody of the application may set it off' END),
              '; ' || asked || ', and is refused where any organization has a row that refers there: that tells that one has'),
       coalesce(remedy, ''), NULL::text
FROM (SELECT DISTINCT key FROM sets_off) AS s
JOIN pg_constraint AS k ON k.oid = s.key
CROSS JOIN (SELECT ARRAY['CASCADE', 'SET NULL', 'SET DEFAULT'] AS words) AS actions
CROSS JOIN LATERAL (
    SELECT string_agg(DISTINCT w.what, ', ') FILTER (WHERE NOT w.is_asked) AS what, string_agg(DISTINCT w.what, ', ') FILTER (WHERE w.is_asked) AS asked,
           string_agg(DISTINCT w.remedy, '; ') AS remedy
    FROM who AS w WHERE w.key = s.key
) AS setting_off
WHERE k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd') OR asked IS NOT NULL
ORDER BY 1
