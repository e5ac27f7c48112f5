-- What may keep the rows of the tables $1 as they are under an UPDATE that the server does not refuse: their triggers before it.
-- Locks: nothing but the catalog's own.
SELECT format('trigger %s of %s', t.tgname, t.tgrelid::regclass)
FROM pg_trigger AS t
WHERE t.tgrelid IN (SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS name)
  AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 1 <> 0 AND t.tgtype & 2 <> 0 AND t.tgtype & 16 <> 0
ORDER BY 1
