-- Column $2 of table $1: 'default' (with a default) or 'not null', and of type $4. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_attribute a
    WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped
      AND a.atttypid = $4::regtype AND a.attgenerated = ''
      AND CASE $3 WHEN 'default' THEN a.atthasdef WHEN 'not null' THEN a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint AS n WHERE n.contype = 'n' AND n.conrelid = a.attrelid AND a.attnum = ANY (n.conkey) AND NOT n.convalidated) END)
