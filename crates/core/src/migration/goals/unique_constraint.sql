-- As the unique index, and a constraint owns it. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_index i
    JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype = 'u'
    WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indisready AND i.indislive
      AND right(pg_get_indexdef(i.indexrelid), length($3) + length(quote_ident($2)) + 3) = '(' || quote_ident($2) || ', ' || $3)
