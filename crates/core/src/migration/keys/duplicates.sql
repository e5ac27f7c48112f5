-- Whether two rows of the table would break the unique key. Locks: ACCESS SHARE on the table, which it reads whole.
SELECT EXISTS (SELECT FROM {table} WHERE ({predicate}) AND {distinct} GROUP BY {unique_key} HAVING count(*) > 1)
