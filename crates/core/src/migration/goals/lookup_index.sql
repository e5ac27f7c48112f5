-- Table $1 has a valid, whole index that begins with column $2. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = to_regclass($1) AND a.attname = $2
      AND i.indisvalid AND i.indisready AND i.indislive AND i.indpred IS NULL)
