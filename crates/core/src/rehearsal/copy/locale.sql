-- How this database encodes and sorts its texts, whichever release names the columns. Locks: none beyond the catalog's
-- own.
SELECT pg_encoding_to_char(d.encoding)::text AS encoding,
       d.datcollate::text AS collate,
       d.datctype::text AS ctype,
       d.datlocprovider::text AS provider,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale
FROM pg_database AS d
WHERE d.datname = current_database()
