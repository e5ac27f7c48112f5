-- Gives the rows numbered $1 to $2 from organization $3 to organization $4, and says their keys.
-- Locks: the rows that it changes, and the balances that their entries are counted in.
WITH batch AS MATERIALIZED (
    SELECT {closure_keys} FROM {closure} WHERE n BETWEEN $1 AND $2
), moved AS (
    UPDATE {table} AS t
    SET {org} = $4::text::{org.type}{repoint}
    FROM batch AS c
    WHERE {t.is_c} AND t.{org} IS NOT DISTINCT FROM $3::text::{org.type}
    RETURNING {t.key_text} AS key
)
SELECT coalesce(array_agg(key), '{}') FROM moved
