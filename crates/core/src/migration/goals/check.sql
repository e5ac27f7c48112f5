-- CHECK constraint $2 of table $1: 'there', 'valid', or 'gone'. Locks: none.
SELECT CASE $3 WHEN 'gone' THEN count(*) = 0 WHEN 'valid' THEN coalesce(bool_and(convalidated), false) ELSE count(*) = 1 END
FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2 AND contype = 'c'
