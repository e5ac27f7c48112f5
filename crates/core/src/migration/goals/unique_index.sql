-- Table $1 has a valid unique index whose columns are $2 and then the definition $3. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indisready AND i.indislive
      AND right(pg_get_indexdef(i.indexrelid), length($3) + length(quote_ident($2)) + 3) = '(' || quote_ident($2) || ', ' || $3)
