-- The first thing of the tenancy model that the database lacks. Locks: nothing.
SELECT what
FROM (
    SELECT 1 AS place, 'table ' || $1 AS what WHERE to_regclass($2) IS NULL
    UNION ALL
    SELECT 2, 'table ' || $3 WHERE to_regclass($4) IS NULL
    UNION ALL
    SELECT 2 + t.place, 'column ' || $5 || ' in table ' || t.plain
    FROM unnest($6::text[], $7::text[]) WITH ORDINALITY AS t (plain, quoted, place)
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass(t.quoted) AND a.attname = $5 AND a.attnum > 0 AND NOT a.attisdropped
    )
) AS missing
ORDER BY place
LIMIT 1
