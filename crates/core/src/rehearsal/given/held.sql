-- Whether the advisory lock $1 is held in this database. Locks: none.
SELECT EXISTS (SELECT FROM pg_locks AS l
               JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
               WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND (l.classid::int8 << 32 | l.objid::int8) = $1)
