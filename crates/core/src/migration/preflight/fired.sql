-- Triggers that the UPDATE fires by which rows of the tables $1 get their organization: those that have the column $2 already,
-- and may lack it in rows. Locks: none.
SELECT regexp_replace(t.tgrelid::regclass::text, '^public\.', ''),
       format('is filled by UPDATE, which fires %s for each row that lacks %s (ALTER TABLE %s DISABLE TRIGGER for the time of the run keeps them from it)',
              string_agg(t.tgname, ', ' ORDER BY t.tgname), $2, t.tgrelid::regclass)
FROM pg_trigger AS t
JOIN pg_attribute AS a ON a.attrelid = t.tgrelid AND a.attname = $2 AND NOT a.attisdropped AND NOT a.attnotnull
WHERE t.tgrelid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 16 <> 0
  -- Of certain columns only: it is another one that is set.
  AND (t.tgattr = '' OR a.attnum = ANY (t.tgattr::int2[]))
GROUP BY t.tgrelid
ORDER BY 1
