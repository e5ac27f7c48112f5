-- Index $2 of table $1 is a plain one whose columns and what stands behind them are one of the texts $3 (a list in JSON), with
-- the access method $4. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN ({definitions}) AS d ON d.indexrelid = i.indexrelid AND d.method = $4
    WHERE i.indrelid = to_regclass($1) AND c.relname = $2 AND NOT i.indisunique
      AND d.tail IN (SELECT jsonb_array_elements_text($3::jsonb)))
