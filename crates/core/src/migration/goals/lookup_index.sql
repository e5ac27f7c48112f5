-- Table $1 has a whole index that begins with column $2; $3 'there' is satisfied by a partitioned table's that lacks
-- partitions. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = to_regclass($1) AND a.attname = $2 AND i.indpred IS NULL
      AND i.indisready AND i.indislive AND (i.indisvalid OR ($3 = 'there' AND c.relkind = 'I')))
