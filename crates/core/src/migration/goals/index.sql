-- Table $1 has an index on column $2 (none when empty) and then the definition $3 (any when empty), of the name $4 (any when empty).
-- $5 'there' is satisfied by a partitioned table's that lacks partitions, 'valid' is not, and 'constraint' wants that a
-- unique constraint owns it; with $6 'unique' it is unique. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = to_regclass($1) AND i.indisready AND i.indislive
      AND (i.indisvalid OR ($5 <> 'valid' AND c.relkind = 'I'))
      AND (i.indisunique OR $6 <> 'unique')
      AND ($4 = '' OR c.relname = $4)
      AND ($3 = '' OR right(pg_get_indexdef(i.indexrelid), length(d.text)) = d.text)
      AND ($5 <> 'constraint' OR EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype = 'u')))
FROM (SELECT ' (' || CASE WHEN $2 = '' THEN '' ELSE quote_ident($2) || ', ' END || $3 AS text) d
