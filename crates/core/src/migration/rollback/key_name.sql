-- Whether a relation of the schema $1 has the name $2 and is no index of the table $3, which a key has to get back.
-- Locks: none.
SELECT EXISTS (SELECT FROM pg_class AS c
               LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
               WHERE c.relnamespace = to_regnamespace(quote_ident($1)) AND c.relname = $2
                 AND (i.indexrelid IS NULL OR NOT i.indisunique OR i.indrelid IS DISTINCT FROM to_regclass($3)))
