-- Table $1 has a foreign key of the columns $3 (a list in JSON, in their order) onto the columns $4 of table $2, and with
-- $5 = 'valid' it is valid. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_constraint AS k
    WHERE k.contype = 'f' AND k.conrelid = to_regclass($1) AND k.confrelid = to_regclass($2)
      AND (k.convalidated OR $5 <> 'valid')
      AND $3::jsonb = (SELECT jsonb_agg(a.attname ORDER BY p.place)
                       FROM unnest(k.conkey) WITH ORDINALITY AS p (attnum, place)
                       JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = p.attnum)
      AND $4::jsonb = (SELECT jsonb_agg(a.attname ORDER BY p.place)
                       FROM unnest(k.confkey) WITH ORDINALITY AS p (attnum, place)
                       JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = p.attnum))
