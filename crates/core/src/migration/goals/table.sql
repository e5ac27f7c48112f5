-- Table $1 has the columns of the comma-separated list $2. Locks: none.
SELECT NOT EXISTS (
    SELECT FROM unnest(string_to_array($2, ',')) AS wanted (name)
    WHERE NOT EXISTS (SELECT FROM pg_attribute a
                      WHERE a.attrelid = to_regclass($1) AND a.attname = wanted.name AND a.attnum > 0 AND NOT a.attisdropped))
