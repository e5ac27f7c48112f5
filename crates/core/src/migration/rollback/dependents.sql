-- What depends on the column $2 of the tables $1 and would not go with it, or would be lost with it, but for the policies
-- of the name $3 and the foreign keys called $5 of the tables $4, which were made with it. Locks: none.
SELECT regexp_replace(a.attrelid::regclass::text, '^public\.', '') || '.' || a.attname,
       'is used by ' || string_agg(DISTINCT CASE WHEN d.classid = 'pg_rewrite'::regclass
                                                 THEN (SELECT regexp_replace(pg_describe_object('pg_class'::regclass, r.ev_class, 0), ' public\.', ' ') FROM pg_rewrite AS r WHERE r.oid = d.objid)
                                                 ELSE regexp_replace(pg_describe_object(d.classid, d.objid, 0), ' public\.', ' ') END, ', ')
FROM pg_attribute AS a
JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
WHERE a.attrelid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND a.attname = $2 AND NOT a.attisdropped
  -- A generated column would be dropped along, without a word.
  AND (d.deptype = 'n' OR k.contype = 'p'
       OR d.deptype = 'a' AND EXISTS (
           SELECT FROM pg_attribute AS g
           LEFT JOIN pg_attrdef AS f ON f.adrelid = g.attrelid AND f.adnum = g.attnum
           WHERE g.attrelid = a.attrelid AND g.attnum <> a.attnum AND g.attgenerated <> ''
             AND ((d.classid, d.objid) = ('pg_attrdef'::regclass, f.oid)
                  OR (d.classid, d.objid, d.objsubid) = ('pg_class'::regclass, g.attrelid, g.attnum))))
  -- One between two of the tables would go with the column of the one, and keep that of the other.
  AND (k.contype IS DISTINCT FROM 'f'
       OR k.confrelid = a.attrelid AND k.conparentid = 0
          AND NOT EXISTS (SELECT FROM unnest($4::text[], $5::text[]) AS m (made_in, name)
                          WHERE to_regclass(m.made_in) = k.conrelid AND m.name = k.conname))
  AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (SELECT FROM pg_policy AS p WHERE p.oid = d.objid AND p.polname = $3))
GROUP BY a.attrelid, a.attname
ORDER BY 1
