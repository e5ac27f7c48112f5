-- Whether there is a record that takes grants: the versioned migrations make it, and then let it. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_constraint AS c
    WHERE c.conrelid = to_regclass('stockfoil.change') AND c.contype = 'c' AND pg_get_constraintdef(c.oid) LIKE '%grant%')
