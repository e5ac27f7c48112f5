-- The foreign keys from and to relation $1, each with a column of the referenced table that tells a person
-- which row is meant: one called "name", else a text in a unique key. Locks: none.
SELECT f.conname::text AS name,
       from_n.nspname::text AS from_schema,
       from_c.relname::text AS from_name,
       (SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM unnest(f.conkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number) AS from_columns,
       to_n.nspname::text AS to_schema,
       to_c.relname::text AS to_name,
       (SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM unnest(f.confkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.number) AS to_columns,
       (SELECT array_agg(format('OPERATOR(%I.%s)', n.nspname, o.oprname) ORDER BY k.place)
        FROM unnest(f.conpfeqop) WITH ORDINALITY AS k(operator, place)
        JOIN pg_operator o ON o.oid = k.operator
        JOIN pg_namespace n ON n.oid = o.oprnamespace) AS equal,
       (SELECT a.attname::text
        FROM pg_attribute a
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = f.confrelid AND a.attnum > 0 AND NOT a.attisdropped
          AND t.typcategory = 'S'
          AND a.attnum <> ALL (f.confkey)
          AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
          AND (a.attname = 'name'
               OR EXISTS (
                   SELECT FROM pg_index i
                   WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum = ANY (i.indkey)
               ))
          AND NOT EXISTS (
              SELECT FROM pg_constraint other
              WHERE other.contype = 'f' AND other.conrelid = a.attrelid AND a.attnum = ANY (other.conkey)
          )
        ORDER BY a.attname = 'name' DESC, a.attnum
        LIMIT 1) AS label,
       EXISTS (
           SELECT FROM pg_index i
           WHERE i.indrelid = f.conrelid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = ANY (f.conkey)
       ) AS indexed,
       f.conrelid = $1::oid AS outgoing,
       f.confrelid = $1::oid AS incoming
FROM pg_constraint f
JOIN pg_class from_c ON from_c.oid = f.conrelid
JOIN pg_namespace from_n ON from_n.oid = from_c.relnamespace
JOIN pg_class to_c ON to_c.oid = f.confrelid
JOIN pg_namespace to_n ON to_n.oid = to_c.relnamespace
WHERE f.contype = 'f' AND f.conparentid = 0 AND (f.conrelid = $1::oid OR f.confrelid = $1::oid)
ORDER BY cardinality(f.conkey), from_n.nspname, from_c.relname, f.conname
