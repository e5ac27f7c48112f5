-- Table $1 has an index on column $2 (none when empty) and then one of the definitions $3 (a list in JSON; any when it is
-- empty), of the name $4 (any when empty).
-- $5 'there' is satisfied by a partitioned table's that lacks partitions, 'valid' is not, 'built' by one that waits for its
-- DEFERRABLE constraint, and 'constraint' wants that a unique constraint owns it; with $6 'unique' it is unique, with 'plain'
-- it is not. Its access method is $7. $8: when it is checked. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN ({definitions}) AS d ON d.indexrelid = i.indexrelid AND d.method = $7
    WHERE i.indrelid = to_regclass($1) AND i.indisready AND i.indislive
      AND (i.indisvalid OR ($5 NOT IN ('valid', 'built') AND c.relkind = 'I'))
      AND i.indisunique = ($6 = 'unique')
      AND (d.timing = $8 OR $5 = 'built')
      AND ($4 = '' OR c.relname = $4)
      AND ($3::jsonb = '[]' OR d.tail IN (
          SELECT CASE WHEN $2 = '' THEN '' ELSE quote_ident($2) || ', ' END || l.text FROM jsonb_array_elements_text($3::jsonb) AS l (text)))
      AND ($5 <> 'constraint' OR EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype = 'u')))
