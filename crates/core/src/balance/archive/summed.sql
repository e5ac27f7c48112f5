-- What was put aside in all, before $1: how many keys and entries, how many keys are to have an entry, the newest time, and the first
-- key whose entries can't be brought forward, with why.
-- Locks: nothing but temporary tables.
SELECT count(*) AS keys, coalesce(sum(a.entries), 0)::bigint AS entries, count(*) FILTER (WHERE a.quantity <> 0) AS to_write,
       max(a.newest_at) AS newest_at,
       (SELECT concat_ws('/', b.org, b.item, b.location, b.lot) || CASE
            WHEN b.quantity IN ('NaN', 'Infinity', '-Infinity') THEN ' has an entry that is no number; correct it first'
            WHEN b.newest_at >= $1 THEN ' has an entry of ' || b.newest_at || ', which is not closed; close a later period first'
            ELSE ' has other closed entries than those that were closed beside what is gone'
        END
        FROM pg_temp.stockfoil_archive AS b
        WHERE b.quantity IN ('NaN', 'Infinity', '-Infinity') OR b.newest_at >= $1 OR b.entries <= 0
        ORDER BY b.newest_at DESC NULLS LAST, 1
        LIMIT 1) AS obstacle
FROM pg_temp.stockfoil_archive AS a
