-- A foreign key on column $2 of table $1 alone refers to id of table $3, and with $4 = 'valid' it is valid. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_constraint k
    WHERE k.contype = 'f' AND k.conrelid = to_regclass($1) AND k.confrelid = to_regclass($3)
      AND k.conkey = ARRAY(SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attname = $2)
      AND k.confkey = ARRAY(SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attname = 'id')
      AND (k.convalidated OR $4 <> 'valid'))
