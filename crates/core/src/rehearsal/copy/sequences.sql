-- Statements that set a copy's sequences to where these stand. Locks: none beyond the catalog's own.
SELECT format('SELECT pg_catalog.setval(%L, %s)', format('%I.%I', s.schemaname, s.sequencename), s.last_value)
FROM pg_sequences AS s
WHERE s.last_value IS NOT NULL AND s.schemaname NOT LIKE 'pg\_%'
  -- One of an extension's is made by it.
  AND NOT EXISTS (SELECT FROM pg_depend AS d
                  WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e'
                    AND d.objid = to_regclass(format('%I.%I', s.schemaname, s.sequencename)))
