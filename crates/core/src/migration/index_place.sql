-- Where table $1's index on column $2 (none when empty) and then one of the definitions $3 (a list in JSON), with the access method $6, is or goes: the
-- name of one that is there, else the first of the names $4 that no other relation of the schema has. A name is free too
-- where an INVALID index of the table and of that definition has it, which a killed build left: a unique one, or one of the
-- names $7, which are noted as Stockfoil's. Another is the application's. It is checked when $8 says; a DEFERRABLE one may be of
-- the names $7 and wait for its constraint. The names $9 are other keys' of that kind. Locks: none.
WITH d AS (
    SELECT CASE WHEN $2 = '' THEN '' ELSE quote_ident($2) || ', ' END || tail AS tail
    FROM jsonb_array_elements_text($3::jsonb) AS tail
), same AS (
    SELECT i.indexrelid, c.relname::text AS name, c.relkind = 'I' AS is_partitioned, i.indisvalid, i.indisready, i.indislive, i.indisunique,
           CASE WHEN i.indimmediate AND $8 <> 'immediate' AND c.relname = ANY ($7::text[])
                     AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
                THEN $8 ELSE o.timing END AS timing
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN ({definitions}) AS o ON o.indexrelid = i.indexrelid AND o.method = $6
    WHERE o.tail IN (SELECT d.tail FROM d)
)
SELECT name FROM (
    SELECT 0 AS place, name
    FROM same
    WHERE (indisvalid OR is_partitioned) AND indisready AND indislive AND indisunique = $5::boolean
      AND timing = $8 AND name <> ALL ($9::text[])
    UNION ALL
    SELECT n.place, n.name
    FROM unnest($4::text[]) WITH ORDINALITY AS n (name, place)
    WHERE NOT EXISTS (
        SELECT FROM pg_class AS c
        LEFT JOIN same AS s ON s.indexrelid = c.oid AND NOT s.indisvalid AND NOT s.is_partitioned AND (s.indisunique OR n.name = ANY ($7::text[]))
        WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass($1))
          AND c.relname = n.name AND s.indexrelid IS NULL)
) AS names
ORDER BY place, name
LIMIT 1
