-- Index $2 is attached to index $1 of the partitioned table. Locks: none.
SELECT EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = to_regclass($1) AND h.inhrelid = to_regclass($2))
