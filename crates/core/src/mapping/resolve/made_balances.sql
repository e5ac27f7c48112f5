-- Whether Stockfoil's memory says that it made the table $1, and the table looks like one of its balances still, under whatever
-- mapping: nobody else's has this check, and a memory may outlive what it speaks of. Locks: nothing.
SELECT EXISTS (
    SELECT FROM stockfoil.change AS k
    JOIN pg_class AS c ON c.relname = k.table_name
    JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = k.schema_name
    JOIN pg_constraint AS checked ON checked.conrelid = c.oid AND checked.contype = 'c'
    WHERE c.oid = to_regclass($1) AND k.kind = 'grant' AND k.name = 'closed'
      AND pg_get_constraintdef(checked.oid) ~ '> ''-Infinity''::numeric.* < ''Infinity''::numeric')
