-- The foreign keys of the table of index $1 whose rows no whole index would find but those of the list $2, it among them;
-- those onto the tables $3 are left out. Locks: none.
SELECT string_agg('foreign key ' || k.conname, ', ' ORDER BY k.conname)
FROM pg_index AS x
JOIN pg_constraint AS k ON k.contype = 'f' AND k.conrelid = x.indrelid AND k.conparentid = 0
CROSS JOIN LATERAL (SELECT (x.indkey::int2[])[0:least(cardinality(k.conkey), x.indnkeyatts) - 1] AS columns) AS l
WHERE x.indexrelid = to_regclass($1)
  AND l.columns @> k.conkey AND l.columns <@ k.conkey
  AND k.confrelid NOT IN (SELECT to_regclass(n)::oid FROM unnest($3::text[]) AS n WHERE to_regclass(n) IS NOT NULL)
  AND NOT EXISTS (
      SELECT FROM pg_index AS o
      WHERE o.indrelid = x.indrelid AND o.indisvalid AND o.indpred IS NULL
        AND o.indexrelid NOT IN (SELECT to_regclass(n)::oid FROM unnest($2::text[]) AS n WHERE to_regclass(n) IS NOT NULL)
        AND (o.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
        AND (o.indkey::int2[])[0:cardinality(k.conkey) - 1] <@ k.conkey)
