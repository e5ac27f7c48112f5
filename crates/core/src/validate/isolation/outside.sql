-- Tables that hold rows of organizations, or may, and are not guarded: those with the organizations' column, children by
-- inheritance, those that are tied to the tables; and what belongs to nobody, lies on another server, or is both read and
-- written by the application. Locks: none.
WITH g AS ({given}), granted AS MATERIALIZED ({granted}), shown AS MATERIALIZED ({shown}), tied AS MATERIALIZED ({tied})
SELECT 'table ' || c.oid::regclass, false,
       CASE WHEN parent.name IS NOT NULL THEN format('is a child of %s by inheritance: asked by its own name, nothing guards its rows', parent.name)
            ELSE format('has a column %s, and is not among the tenant tables', g.org) END,
       CASE WHEN parent.name IS NOT NULL THEN format('ALTER TABLE %s NO INHERIT %s', c.oid::regclass, parent.name)
            ELSE 'add it to [tenancy] tables, then migrate-org and migrate-org --finalize --isolate' END, NULL::text
FROM g, pg_class AS c
LEFT JOIN LATERAL (
    SELECT string_agg(h.inhparent::regclass::text, ', ') AS name FROM g, pg_inherits AS h WHERE h.inhrelid = c.oid AND h.inhparent = ANY (g.tables)
) AS parent ON true
WHERE c.relkind IN ('r', 'p', 'f') AND c.oid <> ALL (g.tables) AND NOT c.relispartition
  AND c.relnamespace IS DISTINCT FROM to_regnamespace('stockfoil')::oid AND c.relpersistence <> 't'
  AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = g.org AND NOT a.attisdropped)
UNION ALL
SELECT 'table ' || t.oid::regclass, reading.who IS NULL AND writing.who IS NULL,
       format('%s; %s', why.why, coalesce(concat_ws(' and ', reading.who || ' may read it', writing.who || ' may write it'), '')
              || CASE WHEN reading.who IS NULL AND writing.who IS NULL THEN format('%s may neither read nor write it', g.app_name) ELSE '' END),
       concat_ws('; or ', CASE t.relkind WHEN 'f' THEN NULL ELSE 'give it an organization: add it to [tenancy] tables, then migrate-org and migrate-org --finalize --isolate' END,
                 (SELECT string_agg(DISTINCT takes.takes COLLATE "C", '; ' ORDER BY takes.takes COLLATE "C" DESC) FROM unnest(reading.takes || writing.takes) AS takes (takes))), NULL
FROM g, tied AS t
CROSS JOIN LATERAL (
    SELECT string_agg(DISTINCT w.who, ', ') AS who, coalesce(array_agg(w.takes) FILTER (WHERE w.takes IS NOT NULL), '{}') AS takes FROM shown AS w WHERE w.oid = t.oid
) AS reading
CROSS JOIN LATERAL (
    SELECT string_agg(DISTINCT w.who, ', ') AS who, coalesce(array_agg(w.takes) FILTER (WHERE w.takes IS NOT NULL), '{}') AS takes
    FROM granted AS w
    WHERE w.class = 'pg_class'::regclass AND w.object = t.oid AND w.privilege IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
) AS writing
CROSS JOIN LATERAL (
    SELECT t.why IS NOT NULL OR t.relkind = 'f' AS is_held,
           CASE WHEN t.why IS NOT NULL THEN t.why || ', and belongs to no organization'
                WHEN t.relkind = 'f' THEN 'lies on another server, where nothing says whose a row is'
                WHEN t.is_guess THEN 'is called as what is made for one person or request, and belongs to no organization'
                ELSE 'belongs to no organization: what one organization''s session writes there, each other''s reads' END AS why
) AS why
-- A table that is only read is everybody's, as of currencies.
WHERE is_held OR (t.is_guess AND reading.who IS NOT NULL) OR (reading.who IS NOT NULL AND writing.who IS NOT NULL)
ORDER BY 1
