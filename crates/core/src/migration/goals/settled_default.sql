-- Column $2 of table $1 is there and does not have the constant $3 of type $4 as its default (any more): it has a
-- function that counts, one of the application's own, or none. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_attribute AS a
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND NOT a.attisdropped
      AND pg_get_expr(d.adbin, d.adrelid) IS DISTINCT FROM format('%L::%s', $3::text, $4::text))
