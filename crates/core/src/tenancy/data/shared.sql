-- Marks the rows that a row refers to which stays outside organization $1, so that they stay too.
-- Locks: ACCESS SHARE, which stops no writer.
UPDATE {parent_closure} AS pc
SET shared = true
FROM (
    SELECT DISTINCT {p.keys}
    FROM {table} AS t
    JOIN {parent} AS p ON {t.refers_p}
    LEFT JOIN {closure} AS c ON {t.is_c}
    WHERE t.{org} IS DISTINCT FROM $1::text::{org.type} AND (c.wave IS NULL OR c.shared)
) AS used ({parent_keys})
WHERE NOT pc.shared AND ({pc_keys}) = ({used_keys})
