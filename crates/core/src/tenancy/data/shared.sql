-- Marks the rows above the selection that a row refers to which stays outside organization $1, so that they stay too.
-- Locks: ACCESS SHARE, which stops no writer.
UPDATE {parent_closure} AS pc
SET shared = true
FROM (
    SELECT DISTINCT {p.keys}
    FROM {parent_closure} AS pc
    JOIN {parent} AS p ON {p.is_pc}
    JOIN {table} AS t ON {t.refers_p}
    LEFT JOIN {closure} AS c ON {t.is_c}
    WHERE NOT pc.follows AND NOT pc.shared AND t.{org} IS DISTINCT FROM $1::text::{org.type} AND (c.wave IS NULL OR c.shared)
) AS used ({parent_keys})
WHERE ({pc_keys}) = ({used_keys})
