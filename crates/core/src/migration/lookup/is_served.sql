-- An index of table $1 serves lookups by the columns $2 (as PostgreSQL prints them) with the access method $3 among the
-- rows $4 (all where NULL): whole, its columns begin with these, it is about these rows or all, and it is no unique key
-- that lacks column $5, which goes. Or its columns and what stands behind them are one of the texts $6 (a list in JSON),
-- which are those of the index that is made for them. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_index AS i
    JOIN ({definitions}) AS d ON d.indexrelid = i.indexrelid
    WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indisready AND i.indislive AND d.method = $3
      AND ((starts_with(d.tail, $2 || ')') OR starts_with(d.tail, $2 || ', '))
           AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = $4)
           OR d.tail IN (SELECT jsonb_array_elements_text($6::jsonb)))
      AND NOT (i.indisunique AND NOT i.indisprimary AND NOT EXISTS (
          SELECT FROM pg_attribute AS a
          WHERE a.attrelid = i.indrelid AND a.attname = $5 AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))))
